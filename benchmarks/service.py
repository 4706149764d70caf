"""A service of real processes, to be measured from outside."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

TOKEN = "a-token-of-the-benchmark"


@dataclass(frozen=True)
class Running:
    """A service that is ready, a client that may ask it, and how many seconds its start has taken."""

    client: httpx.Client
    process: "subprocess.Popen[bytes]"
    ready_s: float


@contextmanager
def running(checkpoint: Path, cache: Path, precision: str) -> Iterator[Running]:
    """One worker on the benchmark's model, for as long as the block lasts. It may fetch from loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {
        "AUTH_TOKEN": TOKEN,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WORKERS": "1",
        "PRECISION": precision,
        "PRETRAINED": str(checkpoint),
        "MODEL_CACHE_DIR": str(cache),
        "ALLOW_PRIVATE_NETWORKS": "true",
        "LOG_LEVEL": "WARNING",
    }
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env={**os.environ, **environment})
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            while not _is_ready(client):
                time.sleep(0.02)
            yield Running(client, process, time.monotonic() - started)
    finally:
        process.terminate()
        process.wait()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False
