"""What `docs/deployment.md` says is so, and what it tells people to type does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from app.config import Settings

from tests.conftest import MakeSettings
from tests.deploy.files import DEPLOY, DOCKERFILE, GRACE_S, ROOT, SERVICE_USER

PAGES = {name: (ROOT / name).read_text("utf-8") for name in ("docs/deployment.md", "docs/licences.md", "SECURITY.md")}
DEPLOYMENT = PAGES["docs/deployment.md"]
BLOCKS = re.findall(r"^```([^\n]+)\n(.*?)^```$", DEPLOYMENT, re.M | re.S)
# What a block is marked by, and the programs that it may therefore call.
NEEDS = {
    "sh docker": {"docker"},
    "sh cluster": {"kubectl"},
    "sh cloud": {"gcloud", "deploy/cloud-run.sh"},
    "sh root": {"make", "install", "systemctl"},
}
RUN = [text for mark, text in BLOCKS if mark == "sh"]


def test_every_command_is_run_here_or_marked_by_what_it_needs() -> None:
    marks = {mark for mark, _ in BLOCKS}

    assert marks == {"sh", *NEEDS}
    assert all(f"`{mark.removeprefix('sh ')}`" in DEPLOYMENT.partition("## ")[0] for mark in NEEDS)


@pytest.mark.parametrize(("mark", "text"), [block for block in BLOCKS if block[0] in NEEDS])
def test_a_marked_command_calls_what_it_is_marked_by_and_nothing_that_could_be_run_here(mark: str, text: str) -> None:
    lines = text.replace("\\\n", " ").splitlines()
    programs = {re.sub(r"^(?:[A-Z_]+=\S+ )*", "", line).split()[0] for line in lines}

    assert programs <= NEEDS[mark]
    assert subprocess.run(["sh", "-n", "-c", text]).returncode == 0


@pytest.mark.slow
def test_a_machine_as_it_is_prepares_serves_is_checked_and_stops(
    make_settings: MakeSettings, tmp_path: Path, free_port: int
) -> None:
    and_nothing_stays_behind = "trap 'kill ${!:-} 2>/dev/null || true' EXIT"
    script = "\n".join(["set -eu", and_nothing_stays_behind, *RUN]).replace("8002", str(free_port))
    environment = {
        "MODEL_NAME": make_settings().model_name,
        "PRETRAINED": make_settings().pretrained,
        "HOST": "127.0.0.1",
        "PRECISION": "float32",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
    }

    ended = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, timeout=240
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "FAILED" not in ended.stdout
    assert (tmp_path / "models" / "names").is_dir()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGES[page])

    assert all(link.startswith("https://") or ((ROOT / page).parent / link).exists() for link in links)


def test_every_file_and_folder_of_deployments_is_mentioned() -> None:
    ways = {path.name for path in DEPLOY.iterdir()} - {"grafana", "prometheus", "cloudbuild.yaml"}
    folders = {path.name for path in (DEPLOY / "kubernetes").iterdir() if path.is_dir()}

    assert all(f"deploy/{way}" in DEPLOYMENT for way in ways)
    assert all(re.search(rf"\b{folder}\b", DEPLOYMENT) for folder in folders)


def test_every_path_that_is_typed_exists() -> None:
    typed = re.findall(r"(?<![\w/])(deploy/[\w./-]+)", DEPLOYMENT)

    assert typed
    assert all((ROOT / path).exists() for path in typed)


def test_build_arguments_targets_and_settings_are_those_that_there_are() -> None:
    arguments = set(re.findall(r"--build-arg (\w+)=", DEPLOYMENT))
    targets = set(re.findall(r"--target (\w+)", DEPLOYMENT))
    settings = set(re.findall(r"--env (\w+)=", DEPLOYMENT))

    assert arguments == set(re.findall(r"^ARG (\w+)=", DOCKERFILE, re.M))
    assert targets <= set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.M))
    assert {name.lower() for name in settings} <= set(Settings.model_fields)


def test_numbers_are_those_of_the_files() -> None:
    assert f"`GRACE_S` ({GRACE_S:g} seconds)" in DEPLOYMENT
    assert f"user {SERVICE_USER}" in DEPLOYMENT
    assert all(int(seconds) > GRACE_S for seconds in re.findall(r"--stop-timeout (\d+)", DEPLOYMENT))
    (on_cloud_run,) = re.findall(r"^readonly GRACE_S=(\d+)$", (DEPLOY / "cloud-run.sh").read_text(), re.M)
    assert f"`GRACE_S` is {on_cloud_run} there" in DEPLOYMENT
