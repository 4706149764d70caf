"""The example's site, as its one command starts it, and as it goes on without. Everything is on loopback."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import unused_port

EXAMPLE = Path(__file__).parents[3] / "clients" / "django" / "example"
ARTWORKS = 24
STARTING_S = 90
STOPPING_S = 40
PACE_S = 0.05


@dataclass(frozen=True)
class Site:
    """A site of real processes, and the service that it asks."""

    url: str
    service_url: str
    data: Path
    process: "subprocess.Popen[bytes]"
    log: Path

    def said(self) -> str:
        """What it has printed."""
        return self.log.read_text("utf-8")

    def found(self, query: str) -> list[str]:
        """The slugs of the artworks that a search shows, in their order."""
        page = httpx.get(f"{self.url}/search/", params={"q": query}, timeout=30)
        assert page.status_code == 200, page.text
        return re.findall(r'<li class="artwork">\s*<a href="/([^"/]+)/"', page.text)


def environment(data: Path, **others: str) -> dict[str, str]:
    """What the example's processes are to know: nothing of this machine's settings, and where its files are."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("EMBEDDINGS_", "DJANGO_"))}
    ours.pop("DATABASE_URL", None)
    return ours | {"EXAMPLE_DATA_DIR": str(data)} | others


def managed(data: Path, *arguments: str, **others: str) -> str:
    """What a command of `manage.py` prints."""
    done = subprocess.run(
        [sys.executable, EXAMPLE / "manage.py", *arguments],
        env=environment(data, **others),
        capture_output=True,
        text=True,
        timeout=STARTING_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def started(data: Path) -> Iterator[Site]:
    """The one command, for as long as the block lasts."""
    port, service_port = unused_port(), unused_port()
    command = ["run.py", "--port", str(port), "--service-port", str(service_port), "--artworks", str(ARTWORKS)]
    with _process(data, command, port, f"http://127.0.0.1:{service_port}", environment(data)) as site:
        yield site


@contextmanager
def served(data: Path, service_url: str, token: str) -> Iterator[Site]:
    """Only the site, asking a service that is there already."""
    port = unused_port()
    command = ["manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    known = environment(data, EMBEDDINGS_SERVICE_URL=service_url, EMBEDDINGS_SERVICE_TOKEN=token)
    with _process(data, command, port, service_url, known) as site:
        yield site


@contextmanager
def _process(data: Path, command: list[str], port: int, service_url: str, known: dict[str, str]) -> Iterator[Site]:
    log = data / f"{port}.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=EXAMPLE, env=known, stdout=written, stderr=subprocess.STDOUT
        )
    site = Site(f"http://127.0.0.1:{port}", service_url, data, process, log)
    try:
        _until_there(site)
        yield site
    finally:
        process.terminate()
        process.wait(STOPPING_S)


def _until_there(site: Site) -> None:
    deadline = time.monotonic() + STARTING_S
    pace = threading.Event()
    while time.monotonic() < deadline and site.process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"{site.url}/", timeout=30).status_code == 200:
                return
        pace.wait(PACE_S)
    raise AssertionError(site.said())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the site's database and pictures are."""
    return tmp_path_factory.mktemp("museum")


@pytest.fixture(scope="module")
def site(data: Path) -> Iterator[Site]:
    """The example as anybody starts it, after its first start."""
    with started(data) as site:
        yield site
