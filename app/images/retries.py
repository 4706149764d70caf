"""Trying again: what may pass is tried at most three times, with growing random waits, within one deadline."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from app.errors import ServiceError

Result = TypeVar("Result")

# The longest wait before the second and before the third try; the real one is anything up to it, so that callers who
# failed together don't come back together.
WAITS_S = (0.25, 1.0)
TRIES = len(WAITS_S) + 1


class Temporary(Exception):
    """A failure that may pass.

    `error` is what it comes to when no try is left; `wait_s` is how long the host asked us to wait.
    """

    def __init__(self, error: ServiceError, wait_s: float = 0.0) -> None:
        super().__init__(error.detail)
        self.error = error
        self.wait_s = wait_s


@dataclass(frozen=True)
class Clock:
    """Time and chance."""

    now: Callable[[], float] = time.monotonic
    date: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


async def tried(attempt: Callable[[], Awaitable[Result]], within_s: float, clock: Clock) -> Result:
    """What an attempt gives, tried again while it fails with `Temporary` and a wait ends within the deadline.

    Raises:
        ServiceError: what the last failure came to.
    """
    ends = clock.now() + within_s
    waits = iter(WAITS_S)
    while True:
        try:
            return await attempt()
        except Temporary as failure:
            longest_s = next(waits, None)
            wait_s = max(failure.wait_s, clock.chance() * (longest_s or 0))
            if longest_s is None or clock.now() + wait_s >= ends:
                raise failure.error from failure.__cause__
        await clock.sleep(wait_s)


def asked_wait_s(retry_after: str, clock: Clock) -> float:
    """The seconds of a `Retry-After` header, which holds seconds or a date; 0 for what is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - clock.date())
    except (ValueError, OverflowError):
        return 0.0
