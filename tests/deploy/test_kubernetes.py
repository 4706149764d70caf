"""The manifests in `deploy/kubernetes/`: what Kubernetes' own schema says of them, and what matters beyond it."""

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from app.config import Settings
from app.images.addresses import CLASSES, Network

from tests.deploy.files import DEPLOY, EXPOSED_PORT, GRACE_S, SERVICE_USER, read

KUBERNETES = DEPLOY / "kubernetes"
BASE = KUBERNETES / "base"
WEIGHTS = ("weights-mounted", "weights-fetched")
OF_KUSTOMIZE = "kustomization.yaml"
MANIFESTS = [path for path in sorted(KUBERNETES.rglob("*.yaml")) if "kind" in read(path) and path.name != OF_KUSTOMIZE]
# From the first that knows a pause before the end to the newest that the schemas are there for.
VERSIONS = ("1.30", "1.37")
NAME = {"app.kubernetes.io/name": "tate-embeddings"}


def manifest(name: str) -> Any:
    """A manifest of the base."""
    return read(BASE / f"{name}.yaml")


def patched(folder: str) -> Any:
    """The Deployment as kustomize makes it in a folder, by the patches in JSON that stand there."""
    deployment = copy.deepcopy(manifest("deployment"))
    (patch,) = read(KUBERNETES / folder / OF_KUSTOMIZE)["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": deployment["metadata"]["name"]}
    for operation in read(KUBERNETES / folder / patch["path"]):
        *way, last = operation["path"].strip("/").split("/")
        place = deployment
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if isinstance(place, list):
            assert (operation["op"], last) == ("add", "-")
            place.append(operation["value"])
        else:
            assert (operation["op"] == "replace") == (last in place)
            place[last] = operation["value"]
    return deployment


DEPLOYMENTS = {"base": manifest("deployment")} | {folder: patched(folder) for folder in WEIGHTS}
PODS = {name: deployment["spec"]["template"]["spec"] for name, deployment in DEPLOYMENTS.items()} | {
    "prepare": read(KUBERNETES / "weights-mounted" / "prepare.yaml")["spec"]["template"]["spec"]
}


def container(pod: str) -> Any:
    (only,) = PODS[pod]["containers"]
    return only


def variables(pod: str) -> dict[str, str | None]:
    """The variables of a container, those from secrets without a value."""
    return {variable["name"]: variable.get("value") for variable in container(pod)["env"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_manifest_to_the_letter(tmp_path: Path, version: str) -> None:
    made = []
    for folder in WEIGHTS:
        made.append(tmp_path / f"{folder}.yaml")
        made[-1].write_text(yaml.safe_dump(patched(folder)))
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", "--kubernetes-version", version]

    ended = subprocess.run([*command, *MANIFESTS, *made], capture_output=True, text=True)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (ended.stdout + ended.stderr).count("passed") == len(MANIFESTS) + len(made)


@pytest.mark.parametrize("folder", ["base", *WEIGHTS])
def test_every_file_that_is_listed_exists_and_every_manifest_is_listed(folder: str) -> None:
    listed = read(KUBERNETES / folder / OF_KUSTOMIZE)
    resources = {name for name in listed["resources"] if not name.startswith("../")}
    patches = {patch["path"] for patch in listed.get("patches", [])}

    assert {path.name for path in (KUBERNETES / folder).iterdir()} == resources | patches | {OF_KUSTOMIZE}
    assert set(listed["resources"]) - resources == (set() if folder == "base" else {"../base"})


@pytest.mark.parametrize("folder", ["base", *WEIGHTS])
def test_images_are_named_in_one_place(folder: str) -> None:
    renamed = {image["name"] for place in {"base", folder}
               for image in read(KUBERNETES / place / OF_KUSTOMIZE)["images"]}  # fmt: skip
    pods = {folder, "prepare"} if folder == "weights-mounted" else {folder}

    assert {container(pod)["image"] for pod in pods} <= renamed


def test_whatever_selects_pods_selects_those_of_the_service() -> None:
    deployment = manifest("deployment")["spec"]
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]

    assert deployment["template"]["metadata"]["labels"] == NAME
    assert deployment["selector"]["matchLabels"] == NAME
    assert manifest("service")["spec"]["selector"] == NAME
    assert manifest("disruption")["spec"]["selector"]["matchLabels"] == NAME
    assert manifest("network")["spec"]["podSelector"]["matchLabels"] == NAME
    assert [constraint["labelSelector"]["matchLabels"] for constraint in spread] == [NAME]


def test_the_pod_that_prepares_is_not_taken_for_one_that_serves() -> None:
    job = read(KUBERNETES / "weights-mounted" / "prepare.yaml")

    assert job["spec"]["template"]["metadata"]["labels"].items().isdisjoint(NAME.items())


def test_the_service_is_reached_at_the_port_that_the_image_opens() -> None:
    (port,) = container("base")["ports"]
    (service,) = manifest("service")["spec"]["ports"]
    (ingress,) = manifest("network")["spec"]["ingress"]

    assert port == {"name": "http", "containerPort": EXPOSED_PORT}
    assert (service["port"], service["targetPort"]) == (EXPOSED_PORT, "http")
    assert ingress["ports"] == [{"port": EXPOSED_PORT, "protocol": "TCP"}]


@pytest.mark.parametrize("pod", ["base", *WEIGHTS])
def test_health_decides_who_gets_requests_and_life_who_is_killed(pod: str) -> None:
    asked = {name: container(pod)[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}

    assert asked == {
        "startup": {"path": "/health", "port": "http"},
        "readiness": {"path": "/health", "port": "http"},
        "liveness": {"path": "/live", "port": "http"},
    }


def test_a_start_has_as_long_as_its_weights_take() -> None:
    most = {pod: container(pod)["startupProbe"] for pod in ("base", *WEIGHTS)}
    seconds = {pod: probe["periodSeconds"] * probe["failureThreshold"] for pod, probe in most.items()}

    assert seconds == {"base": 300, "weights-mounted": 300, "weights-fetched": 1800}


@pytest.mark.parametrize("pod", ["base", *WEIGHTS])
def test_a_pod_that_ends_is_forgotten_by_callers_first_and_then_finishes_its_requests(pod: str) -> None:
    pause = container(pod)["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert pause > 0
    assert PODS[pod]["terminationGracePeriodSeconds"] > pause + GRACE_S


def test_a_new_version_takes_no_pod_away_before_its_own_is_ready() -> None:
    strategy = manifest("deployment")["spec"]["strategy"]

    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


@pytest.mark.parametrize("pod", PODS)
def test_every_container_runs_with_the_fewest_rights(pod: str) -> None:
    spec, rights = PODS[pod], container(pod)["securityContext"]

    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": SERVICE_USER,
        "runAsGroup": SERVICE_USER,
        "fsGroup": SERVICE_USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert rights == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


@pytest.mark.parametrize("pod", ["base", *WEIGHTS])
def test_temporary_files_have_a_bounded_place_each(pod: str) -> None:
    volumes = {volume["name"]: volume for volume in PODS[pod]["volumes"]}
    places = {mount["mountPath"]: volumes[mount["name"]] for mount in container(pod)["volumeMounts"]}

    assert places["/tmp"]["emptyDir"]["sizeLimit"]
    assert places["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    assert places["/dev/shm"]["emptyDir"]["sizeLimit"]
    assert len(places) == len(volumes) == (2 if pod == "base" else 3)


@pytest.mark.parametrize("pod", PODS)
def test_what_a_container_may_take_is_bounded(pod: str) -> None:
    resources = container(pod)["resources"]

    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}


def test_a_worker_that_grew_and_its_successor_fit_into_the_memory_together() -> None:
    limit = int(container("base")["resources"]["limits"]["memory"].removesuffix("Gi")) * 2**30
    worker = 1_000_000_000  # ViT-B-32 in float32, by docs/configuration.md

    assert 2 * worker + int(variables("base")["MAX_MEMORY_GROWTH"] or 0) < limit


@pytest.mark.parametrize("pod", PODS)
def test_variables_are_settings_with_values_that_the_service_takes(pod: str) -> None:
    settings = {name.lower(): value for name, value in variables(pod).items() if name != "HF_HOME"}

    assert set(settings) <= set(Settings.model_fields)
    Settings.load(**{name: value for name, value in settings.items() if value is not None})


def test_tokens_come_from_the_secret_whose_example_holds_none() -> None:
    example = read(KUBERNETES / "secret.example.yaml")
    taken = {variable["name"]: variable["valueFrom"]["secretKeyRef"] for variable in container("base")["env"]
             if "valueFrom" in variable}  # fmt: skip

    assert {name for name in variables("base") if "TOKEN" in name} == set(taken) == set(example["stringData"])
    assert all(taken[name]["name"] == example["metadata"]["name"] for name in taken)
    assert all(taken[name]["key"] == name for name in taken)
    assert set(example["stringData"].values()) == {""}


def test_the_model_that_is_prepared_is_the_one_that_is_served_and_servers_cannot_change_it() -> None:
    (job_volume, _), (mount, _) = PODS["prepare"]["volumes"], container("prepare")["volumeMounts"]
    served = {volume["name"]: volume for volume in PODS["weights-mounted"]["volumes"]}["models"]
    (served_mount,) = (mount for mount in container("weights-mounted")["volumeMounts"] if mount["name"] == "models")

    assert container("weights-mounted")["envFrom"] == container("prepare")["envFrom"]
    assert served["persistentVolumeClaim"]["claimName"] == job_volume["persistentVolumeClaim"]["claimName"]
    assert (served_mount["mountPath"], mount["mountPath"]) == ("/models", "/models")
    assert served_mount["readOnly"] is served["persistentVolumeClaim"]["readOnly"] is True


def test_the_autoscaler_reads_a_metric_that_the_adapter_makes_of_one_that_is_scraped() -> None:
    autoscaler = manifest("autoscaler")["spec"]
    (metric,) = (metric["pods"]["metric"]["name"] for metric in autoscaler["metrics"])
    (rule,) = read(KUBERNETES / "prometheus" / "adapter.yaml")["rules"]["custom"]
    (job,) = read(KUBERNETES / "prometheus" / "scrape.yaml")
    added = {config.get("target_label") for config in job["relabel_configs"]}

    assert autoscaler["scaleTargetRef"]["name"] == manifest("deployment")["metadata"]["name"]
    assert "replicas" not in manifest("deployment")["spec"]  # or each `apply` would undo what the autoscaler did
    assert rule["seriesQuery"].startswith(f"{metric}{{")
    assert set(re.findall(r'(\w+)!=""', rule["seriesQuery"])) == set(rule["resources"]["overrides"])
    assert set(rule["resources"]["overrides"]) <= added


def test_at_least_one_pod_stays_when_nodes_are_emptied() -> None:
    assert manifest("autoscaler")["spec"]["minReplicas"] > manifest("disruption")["spec"]["maxUnavailable"]


def permitted(address: IPv4Address | IPv6Address) -> bool:
    """Whether the network policy lets a pod reach an address at the web's ports."""
    (web,) = (rule for rule in manifest("network")["spec"]["egress"]
              if {port["port"] for port in rule["ports"]} == {80, 443})  # fmt: skip
    blocks = [place["ipBlock"] for place in web["to"]]
    return any(
        address in ip_network(block["cidr"]) and not any(address in ip_network(net) for net in block["except"])
        for block in blocks
    )


def edges(network: Network) -> Iterator[IPv4Address | IPv6Address]:
    """The first, the middle and the last address of a network."""
    yield from (network[0], network[network.num_addresses // 2], network[-1])


@pytest.mark.parametrize("name", CLASSES)
def test_no_address_that_the_service_refuses_can_be_reached(name: str) -> None:
    assert not [str(address) for network in CLASSES[name] for address in edges(network) if permitted(address)]


def test_public_addresses_can_be_reached() -> None:
    for address in ("8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "2001:4860::1"):
        assert permitted(ip_address(address))


def test_every_exception_lies_within_what_is_excepted_from() -> None:
    blocks = [place["ipBlock"] for rule in manifest("network")["spec"]["egress"] for place in rule["to"]
              if "ipBlock" in place]  # fmt: skip

    for block in blocks:
        assert all(
            address in ip_network(block["cidr"]) for net in block["except"] for address in edges(ip_network(net))
        )


def test_nothing_else_leaves_a_pod_but_questions_for_names() -> None:
    policy = manifest("network")["spec"]
    names = [rule for rule in policy["egress"] if {port["port"] for port in rule["ports"]} == {53}]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert len(policy["egress"]) == 2
    assert all(rule.get("to") for rule in policy["egress"])
    assert {port["protocol"] for port in names[0]["ports"]} == {"UDP", "TCP"}
