"""The example of customers' photos, with a real PostgreSQL and real services."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from app.demo.artworks import collection
from app.demo.gallery import FIRST_SEED
from app.demo.painter import paint
from tools.node import TSC, installed, run_node
from tools.show_customer_photos import showing

from tests.callers.conftest import ROOT, Instance, running
from tests.conftest import unused_port
from tests.search.stores import postgresql
from tests.test_endpoints import painting

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[3] / "clients" / "node" / "examples" / "customer-photos"
TESTS = Path(__file__).parent / "customer_photos"
SCRIPTS = sorted(TESTS.glob("*.test.mjs"))
README = (EXAMPLE / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.S)
STAND_IN = ROOT / "tests" / "callers" / "curl.py"
PHOTOS = 12
SIZE = 160


@pytest.fixture(scope="module")
def example(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as it is checked out, with what it needs, and its tests beside it."""
    folder = tmp_path_factory.mktemp("customer-photos")
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    for file in TESTS.glob("*.mjs"):
        shutil.copy(file, folder)
    return installed(folder, tarball)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that the bundled model understands, and the words for each."""
    folder = tmp_path_factory.mktemp("photos")
    works = collection(FIRST_SEED, PHOTOS)
    for place, (scene, _) in enumerate(works):
        paint(scene, SIZE).save(folder / f"{place}.jpg")
    (folder / "captions.json").write_text(json.dumps([work.caption for _, work in works]))
    return folder


@pytest.fixture(scope="module")
def redeployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A service whose vectors are of another space."""
    with running(tmp_path_factory.mktemp("redeployed"), DECODING="fast") as instance:
        yield instance


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_example_does_what_its_tests_expect(
    instance: Instance, redeployed: Instance, photos: Path, example: Path, script: Path
) -> None:
    printed = run_node(
        example,
        "--test",
        script.name,
        DATABASE_URL=postgresql.url(),
        CLIP_SERVICE_URL=instance.url,
        CLIP_SERVICE_TOKEN=instance.token,
        OTHER_CLIP_SERVICE_URL=redeployed.url,
        PHOTOS=str(photos),
    )

    assert re.search(r"pass [1-9]", printed)


def test_the_example_compiles(example: Path) -> None:
    run_node(example, str(TSC), "--project", ".")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the example as one command shows it, with a few photos."""
    with showing(tmp_path_factory.mktemp("shown"), unused_port(), photos=3) as address:
        yield address


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[:60])
def test_every_command_of_the_readme_works(shown: str, tmp_path: Path, command: str) -> None:
    painting().save(tmp_path / "photo.jpg")
    (tmp_path / ".curlrc").write_text("fail\n")  # an answer that is an error is one
    (tmp_path / "curl").write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(STAND_IN)])} "$@"\n')
    (tmp_path / "curl").chmod(0o755)

    done = subprocess.run(
        ["sh", "-e", "-c", command.replace("http://localhost:3000", shown)],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path), "PATH": f"{os.environ['PATH']}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout


def test_every_setting_is_in_the_readme() -> None:
    program = (EXAMPLE / "src" / "config.ts").read_text("utf-8")
    read = set(re.findall(r"env\.([A-Z_]+)|\"([A-Z]+_[A-Z_]+|PORT)\"", program))

    assert {name or other for name, other in read} == set(re.findall(r"`([A-Z]+_[A-Z_]+|PORT)`", _table("Settings")))


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert all(link.startswith("https://") or (EXAMPLE / link).exists() for link in links)


def _table(heading: str) -> str:
    """The first cells of the table below a heading."""
    below = README.split(f"## {heading}")[1].split("\n## ")[0]
    return "".join(re.findall(r"^\| ([^|]*) \|", below, re.M))
