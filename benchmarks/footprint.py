"""What a service takes: time to start with a prepared model, memory of a worker, disk for its packages."""

import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import httpx

STARTS = 5
TOKEN = "a-token-of-the-benchmark"
MIB = 2**20


def table(checkpoint: Path, cache: Path, precisions: Iterable[str]) -> str:
    """A line for each figure."""
    lines = ["## Footprint\n", "| what | |", "| --- | --- |"]
    for precision in precisions:
        starts = [_start(checkpoint, cache, precision) for _ in range(STARTS)]
        ready, memory = (statistics.median(values) for values in zip(*starts, strict=True))
        lines.append(f"| from start to /health 200, {precision}, model prepared | {ready:.1f} s |")
        lines.append(f"| resident memory of a worker after 20 texts, {precision} | {memory / MIB:.0f} MiB |")
    lines.append(f"| packages of a CPU server | {_installed('tate-embeddings', set()) / MIB:.0f} MiB |")
    return "\n".join(lines) + "\n"


def _start(checkpoint: Path, cache: Path, precision: str) -> tuple[float, float]:
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
        "LOG_LEVEL": "WARNING",
    }
    started = time.monotonic()
    service = subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env={**os.environ, **environment})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            while not _is_ready(client):
                time.sleep(0.02)
            ready = time.monotonic() - started
            for count in range(20):
                body = {"query": "a stormy sea at night " * (count + 1)}
                client.post("/embed-text", json=body, headers={"Authorization": f"Bearer {TOKEN}"}).raise_for_status()
            worker = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()[0]
            resident = int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        service.terminate()
        service.wait()
    return ready, resident


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def _installed(package: str, seen: set[str]) -> int:
    """Bytes of a package's files and of all that it requires."""
    name = re.sub(r"[-_.]+", "-", package).lower()
    if name in seen:
        return 0
    seen.add(name)
    try:
        found = distribution(name)
    except PackageNotFoundError:  # required under a marker that doesn't hold here
        return 0
    files = [Path(str(file.locate())) for file in found.files or ()]
    own = sum(file.stat().st_size for file in files if file.is_file())
    required = [text for text in found.requires or () if "extra ==" not in text]
    return own + sum(_installed(re.split(r"[^A-Za-z0-9._-]", text)[0], seen) for text in required)
