"""One run of a command: its id on every log line, and its figures in a file for Prometheus."""

import secrets
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from structlog.contextvars import bind_contextvars, unbind_contextvars


class Run:
    """A run, for use in a `with`; it has succeeded once `succeeded` is said.

    The file for Prometheus is written while it runs, with a time stamp that tells whether it still does, and at its
    end. That it can't be written stops nothing.
    """

    def __init__(self, command: str, folder: Path) -> None:
        self.id = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
        self._command = command
        self._file = folder / f"catalogue-{command}.prom"
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
        self.note("catalogue_ended_timestamp_seconds", "When the last run ended", time.time())
        self.note("catalogue_succeeded", "1 if all went well in the last run, else 0", self._ok)
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
