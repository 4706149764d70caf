"""One run of a command: its id on every log line, and its figures in a file for Prometheus."""

import secrets
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families
from structlog.contextvars import bind_contextvars, unbind_contextvars

# Longer than anything takes during which a run doesn't say that it is at work.
SILENCE_S = 600.0


class Run:
    """A run, for use in a `with`; it has succeeded once `succeeded` is said.

    The file for Prometheus is written while it runs, with a time stamp that tells whether it still does, and at its
    end. That it can't be written stops nothing.
    """

    def __init__(self, command: str, folder: Path, every_s: float | None = None) -> None:
        """A run of a command whose figures go into a folder; `every_s` after it there is to be another."""
        self.id = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
        self._command = command
        self._file = _file(command, folder)
        self._every_s = every_s
        self._registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._ok = False

    def __enter__(self) -> Self:
        bind_contextvars(run=self.id)
        self.note("catalogue_started_timestamp_seconds", "When the last run began", time.time())
        self.beat()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = time.time()
        self.note("catalogue_ended_timestamp_seconds", "When the last run ended", now)
        self.note("catalogue_succeeded", "1 if all went well in the last run, else 0", self._ok)
        self.note("catalogue_completed", "1 if the last run took all its stages, whatever failed in them", kind is None)
        if self._every_s is not None:
            self.note("catalogue_next_timestamp_seconds", "When the next run begins", now + self._every_s)
        self.beat()
        unbind_contextvars("run")

    def succeeded(self) -> None:
        """All went well."""
        self._ok = True

    def note(self, name: str, meaning: str, value: float, **labels: str) -> None:
        """Put a figure into the file."""
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, meaning, ("command", *labels), registry=self._registry)
        self._gauges[name].labels(command=self._command, **labels).set(value)

    def beat(self) -> None:
        """Write the file."""
        self.note("catalogue_heartbeat_timestamp_seconds", "When the last run was last seen at work", time.time())
        with suppress(OSError):
            write_to_textfile(str(self._file), self._registry)


def trouble(command: str, folder: Path, now: float) -> str | None:
    """What is wrong with the last run of a command; nothing if it is at work, or went through and isn't overdue.

    Args:
        command: which.
        folder: where its figures are.
        now: what time it is.
    """
    try:
        text = _file(command, folder).read_text("utf-8")
    except FileNotFoundError:
        return "it hasn't run here"
    told = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    if "catalogue_ended_timestamp_seconds" not in told:
        silent_s = now - told["catalogue_heartbeat_timestamp_seconds"]
        return f"it has shown no sign of life for {silent_s:.0f} seconds" if silent_s > SILENCE_S else None
    if not told["catalogue_completed"]:
        return "its last run was broken off"
    late_s = now - told.get("catalogue_next_timestamp_seconds", now)
    return f"it is late by {late_s:.0f} seconds" if late_s > SILENCE_S else None


def _file(command: str, folder: Path) -> Path:
    return folder / f"catalogue-{command}.prom"
