"""The demonstration as `make demo` starts it: a process of its own, on the bundled model, with its gallery."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.demo.gallery import FIRST_SEED
from app.demo.scene import Scene, imagine
from app.search.opening import in_folder, opened
from app.search.store import Item

from tests.conftest import unused_port

COMMAND = Path(sys.executable).parent / "tate-embeddings"
TOKEN = "demonstration_token"


@dataclass(frozen=True)
class Demonstration:
    """A demonstration that is running, and what it has printed."""

    url: str
    folder: Path
    output: Path
    log: Path
    seconds: float

    @cached_property
    def works(self) -> list[Item]:
        """The artworks as the gallery's index has them, by their numbers."""
        return works_in(self.folder)

    @cached_property
    def scenes(self) -> list[Scene]:
        """What the artworks show."""
        return [imagine(FIRST_SEED + index) for index in range(len(self.works))]

    def embed(self, route: str, **body: str) -> dict[str, Any]:
        """Ask the service for a vector."""
        answer = httpx.post(f"{self.url}/{route}", json=body, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result


def works_in(folder: Path) -> list[Item]:
    """The artworks of a gallery, by their numbers."""
    with closing(opened(in_folder(folder))) as store:
        return sorted(store.items(), key=lambda item: item.id)


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """A demonstration with the gallery that everybody gets."""
    folder = tmp_path_factory.mktemp("demonstration")
    port = unused_port()
    output, log = folder / "output", folder / "log"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("AUTH_TOKEN", "MODEL_NAME", "PRETRAINED", "INDEX_URL")
    } | {"PORT": str(port), "MODEL_CACHE_DIR": str(folder), "LOG_FORMAT": "json"}
    began = time.monotonic()
    with output.open("w") as printed, log.open("w") as logged:
        process = subprocess.Popen([COMMAND, "demo"], cwd=folder, env=environment, stdout=printed, stderr=logged)
    url = f"http://localhost:{port}"
    try:
        while not _healthy(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < began + 300, log.read_text()
            time.sleep(0.1)
        yield Demonstration(url, folder / "demo-gallery", output, log, time.monotonic() - began)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
