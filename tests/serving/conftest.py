"""A service of real processes, on the small model."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from app.embeddings import EmbeddingModel

from tests.conftest import TOKEN


@dataclass(frozen=True)
class Service:
    """A service in processes of its own."""

    process: "subprocess.Popen[bytes]"
    client: httpx.Client
    log: Path

    def until(self, condition: Callable[[], bool]) -> None:
        """Ask again until something is so; a failure to connect counts as not yet."""
        deadline = time.monotonic() + 60
        pace = threading.Event()
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if condition():
                    return
            pace.wait(0.02)
        raise AssertionError(self.log.read_text())

    def is_healthy(self) -> bool:
        return self.client.get("/health").status_code == 200

    def children(self) -> list[int]:
        number = self.process.pid
        return [int(child) for child in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def start(model: EmbeddingModel, small: str, cache: Path, tmp_path: Path, free_port: int) -> Start:
    """Starts a service on the small model, which `model` has prepared, and waits until it is ready."""

    @contextmanager
    def start(command: list[str], **changes: str) -> Iterator[Service]:
        environment = {
            "AUTH_TOKEN": TOKEN,
            "HOST": "127.0.0.1",
            "PORT": str(free_port),
            "MODEL_NAME": small,
            "PRETRAINED": model.manifest.pretrained,
            "MODEL_CACHE_DIR": str(cache),
            "PRECISION": "float32",
        }
        log = tmp_path / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**os.environ, **environment, **changes},
                cwd=tmp_path,  # where no .env lies
                stderr=stream,
            )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{free_port}", timeout=10) as client:
                service = Service(process, client, log)
                service.until(service.is_healthy)
                yield service
        finally:
            process.terminate()
            process.wait(40)

    return start
