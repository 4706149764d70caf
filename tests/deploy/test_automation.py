"""What other programs read of this repository: CI, hooks, Railway, the Dockerfile, and the shell scripts."""

import configparser
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.files import DOCKERFILE, GRACE_S, ROOT, SERVICE_USER, read

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
WORKFLOW = read(ROOT / ".github" / "workflows" / "ci.yml")
HOOKS = read(ROOT / ".pre-commit-config.yaml")
RAILWAY = tomllib.loads((ROOT / "railway.toml").read_text("utf-8"))
TOOLS = Path(sys.executable).parent
NOT_OURS = {".git", ".venv", ".poetry", "node_modules", "dist", "__pycache__"}


def files() -> Iterator[Path]:
    """Every file of the checkout, without what is installed, made or fetched."""
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in NOT_OURS and not name.endswith("_cache")]
        yield from (Path(folder) / name for name in names)


def is_a_shell_script(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(re.match(rb"#!.*\b(ba|da)?sh\b", file.readline(100)))


def test_shellcheck_has_nothing_against_any_shell_script() -> None:
    scripts = [path for path in files() if path.suffix == ".sh" or is_a_shell_script(path)]

    ended = subprocess.run([TOOLS / "shellcheck", *scripts], capture_output=True, text=True)

    assert ROOT / "deploy" / "cloud-run.sh" in scripts
    assert ended.returncode == 0, ended.stdout


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    ended = subprocess.run([TOOLS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True)

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_both_images_run_as_the_service_s_user() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.M)

    for stage in stages:
        if re.search(r"AS (slim|full)$", stage.splitlines()[0]):
            assert f"USER {SERVICE_USER}:{SERVICE_USER}" in stage
    assert f"--uid {SERVICE_USER}" in DOCKERFILE


def test_slim_is_what_a_build_makes_unless_told_otherwise() -> None:
    assert re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.M)[-1] == "slim"


def test_further_groups_of_packages_are_left_out_unless_asked_for() -> None:
    assert "\nARG EXTRAS=\n" in DOCKERFILE
    assert set(re.findall(r'--only "([^"]+)"', DOCKERFILE)) == {"main$EXTRAS", "main,torch$EXTRAS"}
    assert "tracing" in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]


def test_railway_builds_the_dockerfile_and_waits_for_health() -> None:
    assert RAILWAY["build"] == {"builder": "DOCKERFILE", "dockerfilePath": "Dockerfile"}
    assert RAILWAY["deploy"]["healthcheckPath"] == "/health"
    assert RAILWAY["deploy"]["healthcheckTimeout"] >= 300


def test_railway_starts_anew_what_failed_and_lets_what_stops_finish() -> None:
    deploy = RAILWAY["deploy"]

    assert (deploy["restartPolicyType"], deploy["restartPolicyMaxRetries"]) == ("ON_FAILURE", 10)
    # Railway takes numbers only, whatever its documentation shows.
    assert type(deploy["drainingSeconds"]) is type(deploy["overlapSeconds"]) is int
    assert deploy["drainingSeconds"] > GRACE_S


def commands() -> dict[str, list[str]]:
    """What CI and the hooks run."""
    return {
        "CI": [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step],
        "hooks": [hook["entry"] for repository in HOOKS["repos"] for hook in repository["hooks"]],
    }


@pytest.mark.parametrize("place", ["CI", "hooks"])
def test_only_make_targets_are_run_and_those_exist(place: str) -> None:
    assert commands()[place] == ["make check", "make test"]
    assert {command.removeprefix("make ") for command in commands()[place]} <= TARGETS


def test_ci_may_read_the_code_and_nothing_else() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    checkout = WORKFLOW["jobs"]["ci"]["steps"][0]

    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in WORKFLOW["jobs"].values())
    assert checkout["with"] == {"persist-credentials": False}
    assert "secrets." not in text
    assert "pull_request_target" not in text


def test_actions_are_named_by_commit() -> None:
    uses = [step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step]

    assert uses
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action) for action in uses)


def test_hooks_come_from_this_repository_alone() -> None:
    assert [repository["repo"] for repository in HOOKS["repos"]] == ["local"]
    assert all(hook["language"] == "system" for repository in HOOKS["repos"] for hook in repository["hooks"])


def test_systemd_stops_the_service_in_its_own_way_and_in_its_own_time() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "deploy" / "systemd" / "tate-embeddings.service")
    service = unit["Service"]

    assert service["killmode"] == "mixed"  # the arbiter tells its workers
    assert int(service["timeoutstopsec"]) > GRACE_S
    assert service["execreload"] == "/bin/kill -HUP $MAINPID"
    assert service["execstart"].endswith("/tate-embeddings serve")


def test_every_yaml_file_can_be_read() -> None:
    for path in files():
        if path.suffix in (".yaml", ".yml"):
            list(yaml.safe_load_all(path.read_text("utf-8")))
