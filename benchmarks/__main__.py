"""Prints, as Markdown, what the service does beside the straightforward one and beside what the machine could do.

Everything is measured on ViT-B-32 with seeded random weights, which cost as much as the trained ones. This process
makes the load, so it stays light: what needs torch or the engine runs in a process of its own, one at a time.
"""

import argparse
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from app.resources import allow_open_files, cores

from benchmarks import report
from benchmarks.apart import apart, here
from benchmarks.conditions import Conditions
from benchmarks.report import Section

PAGE = Path(__file__).parent / "results.md"
PLOTS = Path(__file__).parent / "plots"

# As many as connections that a constant load may need.
FILES = 8192
# Each is a module here with a `table`. Those that compute by themselves do so in a process of their own.
SCENARIOS = {
    "beside_baseline": here,
    "roofline": apart,
    "mixed": here,
    "repeated": here,
    "memory": here,
    "overload": here,
    "scaling": here,
    "curves": here,
    "fidelity": apart,
    "one_at_a_time": apart,
    "decoding": apart,
    "fast_decoding": apart,
    "lists": here,
    "footprint": here,
    "observing": here,
    "catalogue": here,
    "searching": here,
    "callers": here,
}


def main(words: Sequence[str] | None = None) -> int:
    """Prepare the model in a folder of its own, measure what was asked for, print it, and write it if wanted."""
    parser = _arguments()
    chosen = parser.parse_args(words)
    if chosen.write and (chosen.quick or chosen.only):
        parser.error("the page is written by a whole run")
    allow_open_files(FILES)
    failed = False
    sections: list[Section] = []
    with tempfile.TemporaryDirectory() as folder:
        conditions: Conditions = apart("prepare", "conditions", Path(folder), chosen.quick)
        for name in chosen.only or SCENARIOS:
            started = time.monotonic()
            try:
                sections.append(SCENARIOS[name](name, "table", conditions))
            except Exception:
                # Somebody has waited for the others, and is to have them.
                traceback.print_exc()
                sections.append(Section(f"## {name}\n\nThis failed.\n"))
                failed = True
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    page = "\n".join([f"{_machine()}\n", *report.figures(sections), *(section.text for section in sections)])
    print(page)
    if chosen.write:
        report.replace(PAGE, page)
        for section in sections:
            for name, picture in section.plots.items():
                PLOTS.mkdir(exist_ok=True)
                (PLOTS / name).write_text(picture, "utf-8")
    return int(failed)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="see that it runs, on a tiny model; no figure is of use")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="NAME", help=f"any of: {', '.join(SCENARIOS)}")
    parser.add_argument("--write", action="store_true", help=f"also into {PAGE.name}, and the plots into {PLOTS.name}/")
    return parser


def _machine() -> str:
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", "openvino"))
    return f"{_processor()}, {cores()} cores, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
