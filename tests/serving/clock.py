"""An event loop whose time passes only when nothing else can happen: no test waits, and every moment is exact."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _NoWaiting(selectors.SelectSelector):
    """Where a loop would sleep until its next timer, let that moment come."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever happen")
        self.now += timeout
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _NoWaiting()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(scene: Coroutine[Any, Any, Result]) -> Result:
    """Like `asyncio.run`, in no time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(scene)


async def settle() -> None:
    """Let everything happen that happens at this moment."""
    await asyncio.sleep(1e-9)


def now() -> float:
    """The loop's time, in milliseconds' precision."""
    return round(asyncio.get_running_loop().time(), 3)
