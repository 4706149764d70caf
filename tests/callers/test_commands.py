"""Every command that the documents print is run here, or beside its document, or says why it isn't."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from app.demo.gallery import hang
from app.demo.service import demonstrating, folder_of

from tests.callers.conftest import ROOT, Instance
from tests.test_endpoints import painting

BIN = Path(sys.executable).parent
STAND_IN = Path(__file__).parent / "curl.py"
# What may stand behind a fence's `sh`: needs an account at a provider or a cluster, an engine of Docker's, or
# downloads and minutes.
MARKS = {"cloud", "docker", "long"}
# Their commands are run by test_examples.py, with what they answer, and those of the README by test_documents.py.
RUN_ELSEWHERE = ("docs/api.md", "docs/examples.md")
CURL_OF_README = re.compile(r"curl ")
FENCE = re.compile(r"^```(?:sh|bash|shell|console)\b *([^\n]*)\n(.*?)^```$", re.M | re.S)
ARTWORKS = 3
RUNNING_S = 120

# Its commands have marks of their own, and are run by tests/deploy/test_documents.py.
DEPLOYMENT = "docs/deployment.md"
PAGES = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))
DOCUMENTS = ["README.md", *(page for page in PAGES if page != DEPLOYMENT)]
PRINTED = [(name, *fence) for name in DOCUMENTS for fence in FENCE.findall((ROOT / name).read_text("utf-8"))]
TO_RUN = [
    pytest.param(command, id=f"{name}: {command[:40].strip()}")
    for name, mark, command in PRINTED
    if not mark and name not in RUN_ELSEWHERE and not (name == "README.md" and CURL_OF_README.match(command))
]


def test_every_command_is_run_or_says_why_not() -> None:
    assert {mark for name, mark, _ in PRINTED if name not in RUN_ELSEWHERE} - {""} <= MARKS
    assert {mark for name, mark, _ in PRINTED if name in RUN_ELSEWHERE} == {""}


@pytest.mark.parametrize("command", [pytest.param(command, id=command[:40]) for _, _, command in PRINTED])
def test_every_command_can_be_read_by_a_shell(command: str) -> None:
    subprocess.run(["sh", "-n", "-c", command], check=True)


@pytest.mark.parametrize("command", [pytest.param(command, id=command[:40]) for _, mark, command in PRINTED if mark])
def test_what_is_not_run_names_only_targets_of_make_and_files_that_are_there(command: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    files = re.findall(r"(?<![\w./-])((?:deploy|tools|docs)/[\w./-]+)", command)

    assert set(re.findall(r"^make ([a-z-]+)", command, re.M)) <= targets
    assert all((ROOT / file).exists() for file in files)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, image_host: str) -> Path:
    """Where commands find pictures, a list of one, and the gallery that `make demo` hangs."""
    folder = tmp_path_factory.mktemp("commands")
    for place in (folder, folder / "images"):
        place.mkdir(exist_ok=True)
        painting().save(place / "painting.jpg")
    (folder / "artworks.csv").write_text(f"id,url,title\nTG-001,{image_host}/painting.png,A painting\n")
    settings = demonstrating().model_copy(update={"model_cache_dir": folder / "cache"})
    hang(settings, folder_of(settings), ARTWORKS, lambda *_: None)
    (folder / ".curlrc").write_text("fail\n")  # an answer that is an error is one
    (folder / "bin").mkdir()
    (folder / "bin" / "curl").write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(STAND_IN)])} "$@"\n')
    (folder / "bin" / "curl").chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", TO_RUN)
def test_every_other_command_works(command: str, instance: Instance, folder: Path) -> None:
    for printed, here in {
        "http://localhost:8002": instance.url,
        "dev_token": instance.token,
        ".venv/bin/": f"{BIN}/",
    }.items():
        command = command.replace(printed, here)
    environment = {
        "PATH": os.pathsep.join([str(BIN), os.environ["PATH"], str(folder / "bin")]),
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "AUTH_TOKEN": instance.token,
        "MODEL_NAME": instance.model,
        "ALLOW_PRIVATE_NETWORKS": "true",  # where the list's images are
        "MODEL_CACHE_DIR": str(folder / "cache"),
    }

    done = subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=RUNNING_S,
    )

    assert done.returncode == 0, done.stdout + done.stderr
