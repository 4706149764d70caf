"""`deploy/compose.yaml`, which no Docker engine reads here: its form, by compose's specification, and what it says."""

from typing import Any

import pytest
from app.config import Settings

from tests.deploy.files import DEPLOY, EXPOSED_PORT, GRACE_S, ROOT, read

COMPOSE = read(DEPLOY / "compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
SERVICE: dict[str, Any] = SERVICES["embeddings"]

# The keys of the specification that are used here, and what they hold. Others are misspelt until they are added.
FORMS: dict[str, type | tuple[type, ...]] = {
    "image": str, "build": dict, "env_file": str, "environment": dict, "ports": list, "read_only": bool,
    "tmpfs": list, "shm_size": str, "mem_limit": str, "pids_limit": int, "healthcheck": dict,
    "stop_grace_period": str, "profiles": list, "secrets": list, "configs": list, "volumes": list, "restart": str,
    "cap_drop": list, "security_opt": list, "logging": dict,
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
    assert set(SERVICE["build"]) == {"context", "target", "args"}
    assert set(SERVICE["healthcheck"]) == {"test", "interval", "timeout", "start_period"}


def test_whatever_a_service_names_is_defined_and_whatever_is_defined_is_named() -> None:
    named: dict[str, set[str]] = {"secrets": set(), "configs": set(), "volumes": set()}
    for service in SERVICES.values():
        named["secrets"].update(service.get("secrets", []))
        named["configs"].update(config["source"] for config in service.get("configs", []))
        sources = (volume.partition(":")[0] for volume in service.get("volumes", []))
        named["volumes"].update(source for source in sources if not source.startswith("."))

    assert {kind: set(COMPOSE[kind]) for kind in named} == named


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_can_gain_rights(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_the_service_writes_to_tmp_and_shared_memory_only() -> None:
    assert SERVICE["read_only"] is True
    assert [place.partition(":")[0] for place in SERVICE["tmpfs"]] == ["/tmp"]
    assert SERVICE["shm_size"]
    assert "volumes" not in SERVICE


def test_what_it_may_take_is_bounded() -> None:
    assert SERVICE["mem_limit"] == "4g"
    assert SERVICE["pids_limit"] > 0
    assert all(service["logging"]["options"]["max-size"] for service in SERVICES.values())


def test_a_service_that_stops_has_the_time_it_asks_for() -> None:
    assert seconds(SERVICE["stop_grace_period"]) > GRACE_S


def test_it_listens_where_its_port_is_published_from_and_its_health_is_asked_for() -> None:
    port = SERVICE["environment"]["PORT"]

    assert port == str(EXPOSED_PORT)
    assert SERVICE["ports"] == [f"8002:{port}"]
    assert SERVICE["healthcheck"]["test"][0] == "CMD"
    assert f"127.0.0.1:{port}/health" in SERVICE["healthcheck"]["test"][-1]
    compile(SERVICE["healthcheck"]["test"][-1], "healthcheck", "exec")


def test_its_settings_are_settings() -> None:
    given = set(SERVICE["environment"]) | set(SERVICE["build"]["args"])

    assert {name.lower() for name in given} <= set(Settings.model_fields)
    assert (DEPLOY / SERVICE["env_file"]).resolve() == ROOT / ".env"


def test_the_image_is_the_slim_one_of_this_checkout() -> None:
    assert (DEPLOY / SERVICE["build"]["context"]).resolve() == ROOT
    assert f" AS {SERVICE['build']['target']}\n" in (ROOT / "Dockerfile").read_text()


def test_only_the_service_starts_unless_observing_is_asked_for() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == {"embeddings"}


def test_what_observes_is_reached_from_this_machine_only() -> None:
    for name in ("prometheus", "grafana"):
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


def test_prometheus_asks_the_service_with_the_token_that_it_is_given() -> None:
    (job,) = read(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]
    (secret,) = SERVICES["prometheus"]["secrets"]

    assert job["static_configs"] == [{"targets": [f"embeddings:{EXPOSED_PORT}"]}]
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
