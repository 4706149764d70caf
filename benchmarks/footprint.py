"""What a service takes: time to start with a prepared model, memory of a worker, disk for its packages."""

import os
import re
import statistics
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from benchmarks.service import running

STARTS = 5
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
    with running(checkpoint, cache, precision) as service:
        for count in range(20):
            body = {"query": "a stormy sea at night " * (count + 1)}
            service.client.post("/embed-text", json=body).raise_for_status()
        number = service.process.pid
        worker = Path(f"/proc/{number}/task/{number}/children").read_text().split()[0]
        resident = int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return service.ready_s, resident


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
