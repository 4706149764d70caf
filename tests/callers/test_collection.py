"""A collection as its owner meets it: a nightly command, and a service over what it leaves, both of real processes."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.callers.conftest import ROOT, Instance, running
from tests.catalogue.conftest import picture
from tests.conftest import AUTHORIZED
from tests.images.hosts import Host, content

FRESH_S = 2.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collection")


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Instance]:
    """Two workers over a folder where nothing is yet."""
    index_url = f"faiss://{folder / 'catalogue'}"
    settings = {"INDEX_URL": index_url, "WORKERS": "2", "ALLOW_PRIVATE_NETWORKS": "true"}
    with running(folder, **settings) as instance:
        yield instance


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host()
    host.answers |= {f"/{number}.png": content(picture(number)) for number in range(8)}
    yield host
    host.close()


def night(folder: Path, host: Host, count: int, *options: str) -> None:
    """The command of one night, over so many pictures."""
    lines = [
        {"id": f"work-{number}", "url": host.url(f"/{number}.png"), "year": 1900 + number} for number in range(count)
    ]
    (folder / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {"MODEL_NAME": "tiny-gallery", "PRECISION": "float32", "ALLOW_PRIVATE_NETWORKS": "true"}
    words = ["catalogue", "run", str(folder / "list.jsonl"), "--dir", str(folder / "catalogue"), *options]
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *words], cwd=ROOT, env=os.environ | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def search(served: Instance, **body: Any) -> list[dict[str, Any]]:
    """What is found, on a connection of its own and so by whichever worker takes it."""
    answer = httpx.post(f"{served.url}/search", json=body, headers=AUTHORIZED)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def by_every_worker(condition: Callable[[], bool]) -> None:
    """See that something is so within the time in which everybody is to find it, and stays so whoever answers."""
    pace = threading.Event()
    deadline = time.monotonic() + FRESH_S
    while not condition():
        assert time.monotonic() < deadline
        pace.wait(0.05)
    assert all(condition() for _ in range(20))


def test_a_service_finds_what_each_night_brings_without_a_restart(served: Instance, folder: Path, host: Host) -> None:
    assert search(served, query="a boat") == []

    night(folder, host, 4)
    by_every_worker(lambda: len(search(served, query="a boat")) == 4)
    first, *_ = search(served, url=host.url("/2.png"))
    assert (first["id"], first["metadata"]["year"]) == ("work-2", 1902)
    assert first["score"] == pytest.approx(1, abs=1e-4)

    night(folder, host, 8)
    by_every_worker(lambda: len(search(served, query="a boat")) == 8)

    night(folder, host, 6, "--prune")
    by_every_worker(lambda: len(search(served, query="a boat")) == 6)


def test_what_is_ingested_is_found_by_every_worker_and_stays_through_the_night(
    served: Instance, folder: Path, host: Host
) -> None:
    night(folder, host, 3)
    items = [{"id": "theirs", "url": host.url("/7.png"), "metadata": {"title": "Theirs"}}]
    answer = httpx.post(f"{served.url}/ingest", json={"items": items}, headers=AUTHORIZED)
    assert answer.json()["ingested"] == 1
    by_every_worker(lambda: len(search(served, query="a boat", filter={"title": "Theirs"})) == 1)

    night(folder, host, 3, "--prune", "--rebuild")

    by_every_worker(lambda: {each["id"] for each in search(served, query="a boat")} >= {"theirs", "work-0"})
    assert httpx.delete(f"{served.url}/items/theirs", headers=AUTHORIZED).json() == {"deleted": 1}
    by_every_worker(lambda: "theirs" not in {each["id"] for each in search(served, query="a boat")})


def test_an_index_of_another_model_is_refused_by_search_and_nothing_else(
    served: Instance, folder: Path, host: Host, tmp_path: Path
) -> None:
    night(folder, host, 3)
    settings = {"INDEX_URL": f"faiss://{folder / 'catalogue'}", "DECODING": "fast"}  # which is another space

    with running(tmp_path, **settings) as other:
        refused = httpx.post(f"{other.url}/search", json={"query": "a boat"}, headers=AUTHORIZED)
        embedded = httpx.post(f"{other.url}/embed-text", json={"query": "a boat"}, headers=AUTHORIZED)

    assert (refused.status_code, refused.json()["code"]) == (409, "space_mismatch")
    assert embedded.status_code == 200
    assert "Searches are refused" in (tmp_path / "log").read_text()
