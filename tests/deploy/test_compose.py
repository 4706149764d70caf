"""`deploy/compose.yaml`, which no Docker engine reads here: its form, by compose's specification, and what it says."""

import re
from typing import Any

import pytest
from app.config import Settings

from tests.deploy.composed import mounts
from tests.deploy.files import DEPLOY, DOCKERFILE, EXPOSED_PORT, GRACE_S, ROOT, read

COMPOSE = read(DEPLOY / "compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "profiles" not in service}
SERVICE: dict[str, Any] = SERVICES["vector_api"]
PAGE: dict[str, Any] = SERVICES["ui"]
LISTENING = {"vector_api": SERVICE, "ui": PAGE}

# The keys of the specification that are used here, and what they hold. Others are misspelt until they are added.
FORMS: dict[str, type | tuple[type, ...]] = {
    "image": str, "build": dict, "env_file": str, "environment": dict, "ports": list, "read_only": bool,
    "tmpfs": list, "shm_size": str, "mem_limit": str, "pids_limit": int, "healthcheck": dict,
    "stop_grace_period": str, "profiles": list, "secrets": list, "configs": list, "volumes": list, "restart": str,
    "cap_drop": list, "security_opt": list, "logging": dict, "command": list, "depends_on": dict,
}  # fmt: skip


def seconds(duration: str) -> int:
    """How long a duration of compose's is; all of ours are in seconds."""
    return int(duration.removesuffix("s"))


def test_the_file_has_the_form_that_compose_reads() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {
        "name", "services", "configs", "secrets", "volumes"
    }  # fmt: skip
    for service in SERVICES.values():
        assert set(service) <= set(FORMS)
        assert all(isinstance(value, FORMS[key]) for key, value in service.items())
        # Compose takes neither numbers nor booleans where variables are meant to be words.
        assert all(isinstance(value, str) for value in service.get("environment", {}).values())
    for service in OURS.values():
        assert set(service["build"]) == {"context", "target", "args"}
        assert set(service["healthcheck"]) == {"test", "interval", "timeout", "start_period"}


def test_whatever_a_service_names_is_defined_and_whatever_is_defined_is_named() -> None:
    named: dict[str, set[str]] = {"secrets": set(), "configs": set(), "volumes": set()}
    for service in SERVICES.values():
        named["secrets"].update(service.get("secrets", []))
        named["configs"].update(config["source"] for config in service.get("configs", []))
        named["volumes"].update(source for source in mounts(service) if re.fullmatch(r"\w+", source))

    assert {kind: set(COMPOSE[kind]) for kind in named} == named


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_can_gain_rights(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_the_platform_is_four_services_of_one_image() -> None:
    assert set(OURS) == {"downloader", "embedder", "vector_api", "ui"}
    assert {service["image"] for service in OURS.values()} == {"tate-embeddings"}
    assert all(service["build"] == SERVICE["build"] for service in OURS.values())


@pytest.mark.parametrize("name", OURS)
def test_a_container_writes_to_tmp_shared_memory_and_its_volumes_only(name: str) -> None:
    assert OURS[name]["read_only"] is True
    assert [place.partition(":")[0] for place in OURS[name]["tmpfs"]] == ["/tmp"]
    assert OURS[name]["shm_size"]


def test_each_service_may_write_what_it_makes_and_only_read_the_rest() -> None:
    lists, images, artifacts, thumbnails = "/lists", "/data/images", "/data/artifacts", "/data/thumbnails"
    read_only = {name: dict(mounts(service).values()) for name, service in OURS.items()}

    assert read_only == {
        "downloader": {lists: True, images: False, artifacts: False},
        "embedder": {lists: True, images: True, artifacts: False},
        "vector_api": {artifacts: True},
        "ui": {images: True, thumbnails: False},
    }


def test_what_is_written_is_in_volumes_that_belong_to_the_image_s_user() -> None:
    written = {
        target: source
        for service in OURS.values()
        for source, (target, read_only) in mounts(service).items()
        if not read_only
    }

    assert written == {
        "/data/images": "images_data", "/data/artifacts": "artifacts_data", "/data/thumbnails": "thumbnails_data"
    }  # fmt: skip
    (made,) = re.findall(r"install --directory --owner=\d+ --group=\d+ (.*)$", DOCKERFILE, re.M)
    assert set(made.split()) == set(written)


def test_the_list_is_a_file_beside_it_unless_somebody_says_otherwise() -> None:
    (lists,) = [volume for volume in SERVICES["downloader"]["volumes"] if isinstance(volume, dict)]

    assert lists in SERVICES["embedder"]["volumes"]
    assert lists["source"] == "${LISTS:-.}"
    # Docker would make a folder of whatever isn't there.
    assert lists["bind"] == {"create_host_path": False}
    for name in ("downloader", "embedder"):
        assert f"{lists['target']}/${{LIST:-urls.txt}}" in SERVICES[name]["command"]


def test_downloader_and_embedder_do_all_stages_between_them_and_none_twice() -> None:
    assert SERVICES["downloader"]["command"][:3] == ["tate-embeddings", "catalogue", "download"]
    assert SERVICES["embedder"]["command"][:3] == ["tate-embeddings", "catalogue", "run"]
    assert "--without=download" in SERVICES["embedder"]["command"]


def test_who_embeds_and_who_serves_mean_the_same_index() -> None:
    url = SERVICE["environment"]["INDEX_URL"]

    assert SERVICES["embedder"]["environment"]["INDEX_URL"] == url
    assert url.removeprefix("faiss://") in dict(mounts(SERVICE).values())


def test_the_page_asks_the_service_and_shows_the_images() -> None:
    settings = PAGE["environment"]

    assert settings["VECTOR_API_URL"] == f"http://vector_api:{EXPOSED_PORT}"
    assert settings["GALLERY_PICTURES_DIR"] in dict(mounts(PAGE).values())
    assert PAGE["depends_on"] == {"vector_api": {"condition": "service_healthy"}}


def test_there_is_one_page() -> None:
    without = Settings.load(**{name.lower(): value for name, value in SERVICE["environment"].items()})

    assert not without.has_gallery


def test_the_service_can_be_started_alone() -> None:
    assert "depends_on" not in SERVICE


@pytest.mark.parametrize("name", ["downloader", "embedder"])
def test_the_health_of_what_does_not_listen_is_asked_of_the_command_that_it_runs(name: str) -> None:
    kind, *check = SERVICES[name]["healthcheck"]["test"]
    command = SERVICES[name]["command"]
    (folder,) = [word for word in command if word.startswith("--dir=")]

    assert kind == "CMD"
    assert check == ["tate-embeddings", "catalogue", "status", folder, f"--healthy={command[2]}"]


def test_what_it_may_take_is_bounded() -> None:
    assert SERVICE["mem_limit"] == "4g"
    assert all(service["mem_limit"] and service["pids_limit"] > 0 for service in OURS.values())
    assert all(service["logging"]["options"]["max-size"] for service in SERVICES.values())


@pytest.mark.parametrize("name", LISTENING)
def test_a_service_that_stops_has_the_time_it_asks_for(name: str) -> None:
    assert seconds(LISTENING[name]["stop_grace_period"]) > GRACE_S


@pytest.mark.parametrize(("name", "published"), [("vector_api", EXPOSED_PORT), ("ui", 3000)])
def test_it_listens_where_its_port_is_published_from_and_its_health_is_asked_for(name: str, published: int) -> None:
    service = LISTENING[name]
    port = service["environment"]["PORT"]

    assert port == str(published)
    assert service["ports"] == [f"{published}:{port}"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert f"127.0.0.1:{port}/health" in service["healthcheck"]["test"][-1]
    compile(service["healthcheck"]["test"][-1], "healthcheck", "exec")


@pytest.mark.parametrize("name", OURS)
def test_its_settings_are_settings(name: str) -> None:
    given = set(OURS[name].get("environment", {})) | set(OURS[name]["build"]["args"])

    assert {name.lower() for name in given} <= set(Settings.model_fields)
    assert (DEPLOY / OURS[name]["env_file"]).resolve() == ROOT / ".env"


def test_the_image_is_the_slim_one_of_this_checkout() -> None:
    assert (DEPLOY / SERVICE["build"]["context"]).resolve() == ROOT
    assert f" AS {SERVICE['build']['target']}\n" in (ROOT / "Dockerfile").read_text()


def test_what_observes_is_reached_from_this_machine_only() -> None:
    for name in ("prometheus", "grafana"):
        assert SERVICES[name]["profiles"] == ["observe"]
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


def test_no_two_services_want_the_same_port() -> None:
    published = [port.split(":")[-2] for service in SERVICES.values() for port in service.get("ports", ())]

    assert len(published) == len(set(published))


def test_prometheus_asks_the_service_with_the_token_that_it_is_given() -> None:
    (job,) = read(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    (secret,) = SERVICES["prometheus"]["secrets"]

    assert job["static_configs"] == [{"targets": [f"vector_api:{EXPOSED_PORT}"]}]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert COMPOSE["secrets"][secret] == {"environment": "METRICS_TOKEN"}


def test_prometheus_and_grafana_read_the_files_of_this_checkout() -> None:
    volumes = [volume for name in ("prometheus", "grafana") for volume in SERVICES[name]["volumes"]]
    mounted = [volume.split(":") for volume in volumes if volume.startswith("./")]
    config = read(DEPLOY / "prometheus" / "prometheus.yml")

    assert {source for source, _, _ in mounted} == {
        "./prometheus/prometheus.yml", "./prometheus/alerts.yml", "./grafana/dashboard.json"
    }  # fmt: skip
    assert {mode for _, _, mode in mounted} == {"ro"}
    # Prometheus finds its rules beside its configuration.
    assert config["rule_files"] == ["alerts.yml"]
