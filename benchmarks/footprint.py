"""What a service takes: time to start with a prepared model, memory of a worker, disk for its packages."""

import re
import statistics
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from benchmarks.conditions import Conditions
from benchmarks.report import Section, rows
from benchmarks.service import MIB, ours, resident

STARTS = 5


def table(conditions: Conditions) -> Section:
    """A line for each figure."""
    lines = []
    for precision in conditions.precisions:
        starts = [_start(conditions, precision) for _ in range(conditions.rounds(STARTS))]
        ready, memory = (statistics.median(values) for values in zip(*starts, strict=True))
        lines.append([f"from start to /health 200, {precision}, model prepared", f"{ready:.1f} s"])
        lines.append([f"resident memory of a worker after 20 texts, {precision}", f"{memory / MIB:.0f} MiB"])
    lines.append(["packages of a CPU server", f"{_installed('tate-embeddings', set()) / MIB:.0f} MiB"])
    return Section("## Footprint\n\n" + rows(["what", ""], lines))


def _start(conditions: Conditions, precision: str) -> tuple[float, float]:
    with ours(conditions, precision) as service:
        for count in range(20):
            body = {"query": "a stormy sea at night " * (count + 1)}
            service.client.post("/embed-text", json=body).raise_for_status()
        worker = service.processes()[1]
        return service.ready_s, resident(worker)


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
