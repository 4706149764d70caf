"""What is noted of one request on its way: how long its stages took, where it waited, what the cache had for it.

The stages are `fetch`, `decode`, `queue`, `infer`, `cache` and `search`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter


@dataclass(slots=True)
class Account:
    """What is noted of one request: `stages` in milliseconds, the urgency that it waited under, lookups by outcome."""

    stages: dict[str, float] = field(default_factory=dict)
    lane: int | None = None
    lookups: dict[str, int] = field(default_factory=dict)


# Is told a stage's name, how many seconds it took, and how many seconds ago it ended.
Watcher = Callable[[str, float, float], None]

_account: ContextVar[Account | None] = ContextVar("account", default=None)
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


def begin() -> Account:
    """Start an account of the current request; what is noted appears in it."""
    account = Account()
    _account.set(account)
    return account


def watch(watcher: Watcher) -> None:
    """Let somebody see each stage of the current request by itself."""
    _watcher.set(watcher)


def record(stage: str, seconds: float, among: int = 1) -> None:
    """Add to a stage of the current request, if there is one, its share of what was done for so many at once."""
    _show(stage, seconds, 0.0)
    account = _account.get()
    if account is not None:
        account.stages[stage] = account.stages.get(stage, 0.0) + seconds * 1000 / among


def longest(stage: str, seconds: float, ago_s: float = 0.0) -> None:
    """Let a stage of the current request be at least this long: what waits side by side isn't added up."""
    _show(stage, seconds, ago_s)
    account = _account.get()
    if account is not None:
        account.stages[stage] = max(account.stages.get(stage, 0.0), seconds * 1000)


def queued(urgency: int) -> None:
    """The current request waits under this urgency."""
    account = _account.get()
    if account is not None:
        account.lane = urgency


def looked_up(outcome: str) -> None:
    """The current request has asked the cache for something."""
    account = _account.get()
    if account is not None:
        account.lookups[outcome] = account.lookups.get(outcome, 0) + 1


def _show(stage: str, seconds: float, ago_s: float) -> None:
    watcher = _watcher.get()
    if watcher is not None:
        watcher(stage, seconds, ago_s)


@contextmanager
def measured(stage: str) -> Iterator[None]:
    """Add the time spent inside to a stage of the current request."""
    started = perf_counter()
    try:
        yield
    finally:
        record(stage, perf_counter() - started)
