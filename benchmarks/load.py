"""A load generator that leaves the cores to what it measures.

HTTP/1.1 over keep-alive connections, as bare as it gets: requests come as bytes, and of an answer only the status, the
length and `Retry-After` are looked at. `closed` lets each connection ask again as soon as it is answered, which finds
out what a service is capable of. `constant` asks at a rate, whatever is still unanswered, which shows what a service
does that isn't capable of it. Both wait for the last answer before they return, so that what is measured next doesn't
share the machine with it.
"""

import asyncio
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, TypeVar, cast

import uvloop

Result = TypeVar("Result")

OK = 200
# In the place of a status, where a connection broke or an answer never came.
NO_ANSWER = 0

HEAD_END = b"\r\n\r\n"
STATUS = slice(9, 12)  # in "HTTP/1.1 200 OK"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after: *([^\r]*)", re.IGNORECASE)

# More callers than a service has places in its queue; otherwise it would never have to refuse one.
MOST_CONNECTIONS = 2000
# For answers that are still due when no more is asked.
PATIENCE_S = 30.0


class Answer(NamedTuple):
    """As much of an answer as counts here."""

    status: int
    retry_after: str


@dataclass
class Outcome:
    """What became of the requests of one measurement.

    Seconds of every answer, by its status; `in_time` is how many of the good ones came while it was being measured,
    `refused` how many requests were due when every connection was taken.
    """

    seconds: float
    latencies: defaultdict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    retry_after: Counter[str] = field(default_factory=Counter)
    in_time: int = 0
    refused: int = 0

    def add(self, answer: Answer, latency_s: float, *, in_time: bool) -> None:
        """Take down one answer."""
        self.latencies[answer.status].append(latency_s)
        self.in_time += in_time and answer.status == OK
        if answer.status != OK and answer.status != NO_ANSWER:
            self.retry_after[answer.retry_after] += 1

    @property
    def rate(self) -> float:
        """Good answers in a second."""
        return self.in_time / self.seconds

    @property
    def offered(self) -> int:
        """How many requests were due."""
        return sum(map(len, self.latencies.values())) + self.refused

    @property
    def good(self) -> float:
        """The share of what was due that got a good answer, in time or later."""
        return self.count(OK) / self.offered

    def count(self, status: int) -> int:
        """How many answers had a status."""
        return len(self.latencies.get(status, ()))

    def percentile(self, share: float) -> float:
        """Within how many seconds this share of the good answers came."""
        return percentile(self.latencies.get(OK, ()), share)

    def all_good(self) -> "Outcome":
        """This outcome, if every answer was a good one; figures of anything else would mean nothing."""
        bad = {status: len(latencies) for status, latencies in self.latencies.items() if status != OK}
        if bad or not self.count(OK):
            raise RuntimeError(f"{self.count(OK)} good answers, and by status these others (0 is none): {bad}")
        return self


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values doesn't exceed; infinite where there is none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.inf


def run(load: Coroutine[Any, Any, Result]) -> Result:
    """Wait for a load, on the cheapest event loop there is. Its clock counts milliseconds, so nothing here asks it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load)


async def closed(
    port: int, requests: Iterator[bytes], *, connections: int, seconds: float = math.inf, warm_up_s: float = 0.0
) -> Outcome:
    """Let every connection ask again as soon as it is answered, until the time is over or nothing is left to ask.

    Args:
        port: where the service listens, on loopback.
        requests: what to ask; each is sent once.
        connections: how many ask at a time.
        seconds: how long; answers that come later don't count.
        warm_up_s: how long before that nothing counts.
    """
    outcome = Outcome(seconds)
    begin = perf_counter() + warm_up_s
    end = begin + seconds

    async def caller() -> None:
        connection = await connect(port)
        for request in requests:
            sent = perf_counter()
            if sent >= end:
                break
            answer = await connection.ask(request)
            now = perf_counter()
            if begin <= now < end:
                outcome.add(answer, now - sent, in_time=True)
            if not connection.usable:
                connection = await connect(port)
        connection.close()

    await asyncio.gather(*(caller() for _ in range(connections)))
    if math.isinf(seconds):
        outcome.seconds = perf_counter() - begin
    return outcome


async def constant(
    port: int,
    requests: Iterator[bytes],
    *,
    rate: float,
    seconds: float,
    most_connections: int = MOST_CONNECTIONS,
    patience_s: float = PATIENCE_S,
) -> Outcome:
    """Ask at a constant rate. Seconds of an answer are from when its request was due, sent or not.

    Args:
        port: where the service listens, on loopback.
        requests: what to ask; each is sent once.
        rate: requests in a second.
        seconds: how long.
        most_connections: with so many unanswered, what is due is given up as `refused`.
        patience_s: how long to wait for answers afterwards; what hasn't come by then has the status `NO_ANSWER`.
    """
    outcome = Outcome(seconds)
    callers = _Callers(port, most_connections)
    start = perf_counter()

    def answered(due: float, answer: Answer) -> None:
        now = perf_counter()
        outcome.add(answer, now - due, in_time=now < start + seconds)

    sent, total = 0, round(rate * seconds)
    while sent < total:
        await asyncio.sleep(max(0.0, start + sent / rate - perf_counter()))
        reached = min(total, math.floor((perf_counter() - start) * rate) + 1)
        for number in range(sent, reached):
            if not callers.ask(requests, partial(answered, start + number / rate)):
                outcome.refused += 1
        sent = reached
    await asyncio.sleep(max(0.0, start + seconds - perf_counter()))
    await callers.finish(patience_s)
    return outcome


class _Callers:
    """As many connections as are needed at a time, used again while they last."""

    def __init__(self, port: int, most: int) -> None:
        self._port = port
        self._most = most
        self._idle: list[Connection] = []
        self._asking: set[asyncio.Task[None]] = set()

    def ask(self, requests: Iterator[bytes], answered: Callable[[Answer], None]) -> bool:
        """Send the next request, unless every connection is taken."""
        if len(self._asking) >= self._most:
            return False
        task = asyncio.create_task(self._ask(next(requests), answered))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return True

    async def _ask(self, request: bytes, answered: Callable[[Answer], None]) -> None:
        try:
            connection = self._usable() or await connect(self._port)
        except OSError:
            answered(Answer(NO_ANSWER, ""))
            return
        try:
            answered(await connection.ask(request))
        except asyncio.CancelledError:
            answered(Answer(NO_ANSWER, ""))
            connection.close()
            raise
        self._idle.append(connection)

    def _usable(self) -> "Connection | None":
        while self._idle:
            if (connection := self._idle.pop()).usable:
                return connection
        return None

    async def finish(self, patience_s: float) -> None:
        """Wait for what is unanswered, and hang up."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=patience_s)
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        for connection in self._idle:
            connection.close()


async def connect(port: int) -> "Connection":
    """A connection to a service on loopback."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


class Connection(asyncio.Protocol):
    """Asks one thing at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Answer] | None = None
        self._head = bytearray()
        self._coming: Answer | None = None
        self._missing = 0

    @property
    def usable(self) -> bool:
        """Whether it is still open."""
        return not self._transport.is_closing()

    def ask(self, request: bytes) -> "asyncio.Future[Answer]":
        """Send a request; the future is done when its answer has come in full, or when there will be none."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.usable:
            self._transport.write(request)
        else:
            self._finish(Answer(NO_ANSWER, ""))
        return self._answer

    def close(self) -> None:
        """Hang up, whatever is still to come."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of its own kind

    def data_received(self, data: bytes) -> None:
        if self._coming is None:
            self._head += data
            end = self._head.find(HEAD_END)
            if end < 0:
                return
            length = LENGTH.search(self._head, 0, end)
            if length is None:  # nothing that is measured here answers without one
                self.close()
                return
            retry_after = RETRY_AFTER.search(self._head, 0, end)
            self._coming = Answer(int(self._head[STATUS]), retry_after[1].decode() if retry_after else "")
            self._missing = int(length[1]) - (len(self._head) - end - len(HEAD_END))
            self._head.clear()
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            answer, self._coming = self._coming, None
            self._finish(answer)

    def connection_lost(self, _: Exception | None) -> None:
        self._finish(Answer(NO_ANSWER, ""))

    def _finish(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)
