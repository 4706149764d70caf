"""How long the stages of one request took: `fetch`, `decode`, `queue`, `infer`, `cache`."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter

_timings: ContextVar[dict[str, float] | None] = ContextVar("timings", default=None)


def begin() -> dict[str, float]:
    """Start collecting for the current request; stages appear in the returned mapping, in milliseconds."""
    timings: dict[str, float] = {}
    _timings.set(timings)
    return timings


def record(stage: str, seconds: float) -> None:
    """Add to a stage of the current request, if there is one."""
    timings = _timings.get()
    if timings is not None:
        timings[stage] = timings.get(stage, 0.0) + seconds * 1000


def longest(stage: str, seconds: float) -> None:
    """Let a stage of the current request be at least this long: what waits side by side isn't added up."""
    timings = _timings.get()
    if timings is not None:
        timings[stage] = max(timings.get(stage, 0.0), seconds * 1000)


@contextmanager
def measured(stage: str) -> Iterator[None]:
    """Add the time spent inside to a stage of the current request."""
    started = perf_counter()
    try:
        yield
    finally:
        record(stage, perf_counter() - started)
