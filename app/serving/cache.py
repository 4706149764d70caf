"""Results that are remembered, and work in flight that several wait for."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Generic, TypeVar

from app.telemetry import metrics, timings

Value = TypeVar("Value")

# What may come of asking: remembered, being computed for somebody else, or neither.
HIT, JOINED, MISS = "hit", "joined", "miss"


@dataclass(eq=False)
class _Flight(Generic[Value]):
    urgency: int
    work: "asyncio.Task[Value]"
    waiting: int = 0


class Cache(Generic[Value]):
    """Keeps the values that were asked for last, and has what is asked for twice at once computed once.

    A key must stand for everything that the value depends on. Failures aren't kept.
    """

    def __init__(self, most: int, kind: str) -> None:
        """Keep so many values; with 0 none, but work in flight is still shared. `kind` is what lookups count as."""
        self._most = most
        self._kind = kind
        self._values: OrderedDict[bytes, Value] = OrderedDict()
        self._flights: dict[bytes, _Flight[Value]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def recall(self, key: bytes) -> Value | None:
        """The value of a key, if it is remembered. Where it isn't, nothing is counted: `get` will be asked for it."""
        asked = perf_counter()
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
            timings.record("cache", perf_counter() - asked)
            self._count(HIT)
        return value

    async def get(self, key: bytes, urgency: int, compute: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """The value of a key, computed unless it is here or on its way.

        Work in flight is joined if it is as urgent. It is cancelled when nobody waits for it any more.
        """
        value = self.recall(key)
        if value is not None:
            return value
        flight = self._flights.get(key)
        joined = flight is not None and flight.urgency <= urgency
        self._count(JOINED if joined else MISS)
        if flight is None or not joined:
            flight = _Flight(urgency, asyncio.create_task(compute()))
            self._flights[key] = flight
            flight.work.add_done_callback(partial(self._landed, key, flight))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.work)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.work.done():
                self._forget(key, flight)
                flight.work.cancel()

    def _count(self, outcome: str) -> None:
        metrics.looked_up(self._kind, outcome)
        timings.looked_up(outcome)

    def _landed(self, key: bytes, flight: _Flight[Value], work: "asyncio.Task[Value]") -> None:
        self._forget(key, flight)
        if self._most and not work.cancelled() and work.exception() is None:
            self._values[key] = work.result()
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)

    def _forget(self, key: bytes, flight: _Flight[Value]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
