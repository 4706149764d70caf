"""Time and chance, and how much of a call's time is left."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

# No operation gets less: a socket takes 0 for "don't wait at all", and less for a mistake.
SHORTEST_S = 0.001
# Of a call's time: an address that doesn't answer leaves some for another try.
CONNECT_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance; tests bring their own."""

    now: Callable[[], float] = time.monotonic
    date: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    sleep_async: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class Deadline(Mapping[str, float]):
    """When a call has to be over.

    For httpx it's the timeouts of one request. They are looked up as each operation begins, so that connecting, sending
    and receiving share what is left instead of having all of it each.
    """

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._connect_s = seconds * CONNECT_SHARE
        self._ends = now() + seconds
        self._now = now

    def left_s(self) -> float:
        """The seconds that are left; 0 or less once it has passed."""
        return self._ends - self._now()

    def __getitem__(self, operation: str) -> float:
        left_s = max(self.left_s(), SHORTEST_S)
        return min(left_s, self._connect_s) if operation == "connect" else left_s

    def __iter__(self) -> Iterator[str]:
        return iter(("connect", "read", "write", "pool"))

    def __len__(self) -> int:
        return 4


def asked_wait_s(retry_after: str, date: float) -> float:
    """The seconds of a `Retry-After` header, which holds seconds or a date; 0 for what is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - date)
    except (ValueError, OverflowError):
        return 0.0
