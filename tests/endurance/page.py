"""What a run has found: for who waits, and on the page that keeps it."""

import platform
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from app.resources import cores
from benchmarks.report import rows

from tests.endurance.verdicts import Check

PAGE = Path(__file__).parents[2] / "docs" / "endurance.md"

Say = Callable[[str], None]


def say(line: str) -> None:
    """Tell who waits."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def table(checks: Iterable[Check]) -> str:
    """What was looked at, in Markdown."""
    lines = [[check.name, check.wanted, check.measured, "yes" if check.ok else "**no**"] for check in checks]
    return rows(["what", "wanted", "measured", "ok"], lines)


def conditions() -> str:
    """Of which run the figures are."""
    day = datetime.now(UTC).date().isoformat()
    return f"{day}, {cores()} cores, Python {platform.python_version()}, the bundled model in float32."


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Put what a run gave in the place of what an earlier one of its name left on the page."""
    command = f"`python -m tests.endurance {name} --write`"
    begin, end = f"<!-- From here to the end mark, {command} writes. -->", f"<!-- The end mark of {command}. -->"
    before, _, rest = page.read_text("utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{page} has lost the marks of '{name}'")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", "utf-8")
