"""Where work waits for an engine: bounded, the most urgent first, and computed in batches of what waits together.

It knows neither vectors nor threads. What it schedules is any items that a function computes many of at once, and the
only clock is the event loop's.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.errors import Overloaded
from app.telemetry import metrics, timings

Item = TypeVar("Item")
Result = TypeVar("Result")

# Beside an item, others may be up to this many times as large or as small: a batch costs what its largest makes of it.
ALIKE = 2
# How much one batch changes what is thought of the pace.
INERTIA = 0.5
LONGEST_RETRY_AFTER_S = 60


@dataclass(frozen=True)
class Batching(Generic[Item]):
    """What an engine takes at once: so many items, which make no more than `total` if each is as large as the largest.

    `streams` is how many batches it computes side by side.
    """

    streams: int = 1
    items: int = 1
    total: int = 1
    size: Callable[[Item], int] = lambda _: 1


@dataclass(eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    urgency: int
    single: bool
    size: int
    since: float
    result: "asyncio.Future[Result]"
    begun: float | None = None
    among: int = 1


class Scheduler(Generic[Item, Result]):
    """Has items computed. Smaller numbers are more urgent; among equals, who comes first is served first.

    Whoever stops waiting, by being cancelled, takes the item along unless it is being computed already.
    """

    def __init__(
        self,
        compute: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        batching: Batching[Item],
        *,
        queue: str,
        most_waiting: int,
        longest_wait_s: float = math.inf,
        stage: str = "infer",
    ) -> None:
        """Schedule what `compute` does.

        Args:
            compute: gives a result for each item, in their order, or fails; it is called once per stream at a time.
            batching: how much it takes at once.
            queue: what operators know it by.
            most_waiting: beyond so many waiting items more are refused.
            longest_wait_s: so are those that would have to wait for longer, by the latest pace.
            stage: what computing is called among a request's timings.
        """
        self._compute = compute
        self._batching = batching
        self._queue = queue
        self._most_waiting = most_waiting
        self._longest_wait_s = longest_wait_s
        self._stage = stage
        self._idle_streams = batching.streams
        self._waiting: defaultdict[int, dict[_Waiting[Item, Result], None]] = defaultdict(dict)
        self._singles_waiting = 0
        self._all_waiting = 0
        self._shown_waiting = 0
        # Of each urgency, so that lists wait for no list that is less urgent.
        self._windows: defaultdict[int, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(2 * batching.streams * batching.items)
        )
        self._seconds_per_item: float | None = None
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many items wait for their turn."""
        return self._all_waiting

    def check_room(self) -> None:
        """See whether one more item would be taken.

        Raises:
            Overloaded: too many wait already.
        """
        ahead = self._singles_waiting - self._idle_streams  # an idle stream will take one at once
        wait_s = ahead * (self._seconds_per_item or 0) / self._batching.streams
        if ahead >= self._most_waiting or wait_s > self._longest_wait_s:
            retry_after_s = max(1, min(LONGEST_RETRY_AFTER_S, math.ceil(wait_s)))
            raise Overloaded("Too many requests are waiting; try again soon.", retry_after_s)

    async def submit(self, item: Item, urgency: int) -> Result:
        """Have one item computed.

        Raises:
            Overloaded: too many wait already.
            Exception: what computing it alone has raised.
        """
        self.check_room()
        return await self._computed(item, urgency, single=True)

    async def submit_of_list(self, item: Item, urgency: int) -> Result:
        """Have one of many items computed: lists wait outside, a window at a time, and none is refused."""
        async with self._windows[urgency]:
            return await self._computed(item, urgency, single=False)

    async def _computed(self, item: Item, urgency: int, *, single: bool) -> Result:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(item, urgency, single, self._batching.size(item), loop.time(), loop.create_future())
        self._waiting[urgency][waiting] = None
        self._singles_waiting += single
        self._all_waiting += 1
        timings.queued(urgency)
        loop.call_soon(self._fill_streams)  # what is submitted together is to be computed together
        try:
            result: Result = await waiting.result
            return result
        finally:
            self._take_out(waiting)
            if waiting.begun is None:
                self._show_waiting()
            else:
                computing_s = loop.time() - waiting.begun
                timings.longest("queue", waiting.begun - waiting.since, computing_s)
                # A list is computed side by side: what it takes are its shares of the batches.
                timings.record(self._stage, computing_s, 1 if single else waiting.among)

    def _fill_streams(self) -> None:
        while self._idle_streams and (batch := self._next_batch()):
            self._idle_streams -= 1
            task = asyncio.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        self._show_waiting()

    def _show_waiting(self) -> None:
        """Let operators see how many wait. Where an idle stream takes what comes, there is nothing to be seen."""
        if self._shown_waiting != self._all_waiting:
            self._shown_waiting = self._all_waiting
            metrics.waiting(self._queue, self._all_waiting)

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        """The first of the most urgent, and of those that are as urgent the ones most like it in size."""
        lane = next((lane for _, lane in sorted(self._waiting.items()) if lane), None)
        if lane is None:
            return []
        first = next(iter(lane))
        batch: list[_Waiting[Item, Result]] = []
        largest = 0
        for waiting in sorted(lane, key=lambda other: abs(other.size - first.size)):
            largest = max(largest, waiting.size)
            alike = first.size <= ALIKE * waiting.size and waiting.size <= ALIKE * first.size
            fits = len(batch) < self._batching.items and (len(batch) + 1) * largest <= self._batching.total
            if batch and not (alike and fits):
                break
            batch.append(waiting)
        for waiting in batch:
            self._take_out(waiting)
        return batch

    def _take_out(self, waiting: _Waiting[Item, Result]) -> None:
        lane = self._waiting[waiting.urgency]
        if waiting in lane:
            del lane[waiting]
            self._singles_waiting -= waiting.single
            self._all_waiting -= 1

    async def _run(self, batch: list[_Waiting[Item, Result]]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for waiting in batch:
            waiting.begun, waiting.among = begun, len(batch)
            metrics.waited(self._queue, begun - waiting.since)
        try:
            await self._answer(batch)
        finally:
            self._idle_streams += 1
            took = loop.time() - begun
            metrics.computed(self._queue, len(batch), took)
            taken = took / len(batch)
            before = self._seconds_per_item
            self._seconds_per_item = taken if before is None else INERTIA * before + (1 - INERTIA) * taken
            self._fill_streams()

    async def _answer(self, batch: list[_Waiting[Item, Result]]) -> None:
        try:
            results = await self._compute([waiting.item for waiting in batch])
            answered = [*zip(batch, results, strict=True)]
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0], error=error)
            else:  # one of them may have spoilt it for all
                for waiting in batch:
                    if not waiting.result.done():
                        await self._answer([waiting])
        else:
            for waiting, result in answered:
                _settle(waiting, result)


def _settle(waiting: _Waiting[Any, Any], result: Any = None, *, error: Exception | None = None) -> None:
    if waiting.result.done():  # nobody waits for it any more
        return
    if error is None:
        waiting.result.set_result(result)
    else:
        waiting.result.set_exception(error)
