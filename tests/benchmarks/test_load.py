"""The load generator, on a server that does what a test tells it to."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count, islice
from time import perf_counter

import pytest
from benchmarks.load import NO_ANSWER, Outcome, closed, constant, percentile, run

Answering = Callable[[int], Awaitable[bytes]]

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\nContent-Length: 4\r\n\r\nbusy"


class Server:
    """Takes requests down, and answers the first, second, … as it is told."""

    def __init__(self, answer: Answering) -> None:
        self.port = 0
        self.asked: list[bytes] = []
        self.connections = 0
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                answer = await self._answer(len(self.asked))
                # In two pieces, as a network may bring it.
                writer.write(answer[:30])
                await writer.drain()
                writer.write(answer[30:])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answering) -> AsyncIterator[Server]:
    server = Server(answer)
    listener = await asyncio.start_server(server, "127.0.0.1", 0, backlog=500)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server


async def good(_: int) -> bytes:
    return GOOD


async def never(_: int) -> bytes:
    await asyncio.Event().wait()
    return GOOD


def requests() -> "map[bytes]":
    return map(b"GET /%d HTTP/1.1\r\n\r\n".__mod__, count())


def test_a_constant_load_asks_as_often_as_it_should_and_takes_the_time_that_it_should() -> None:
    async def load() -> tuple[Server, Outcome]:
        async with serving(good) as server:
            return server, await constant(server.port, requests(), rate=200, seconds=0.5)

    started = perf_counter()
    server, outcome = run(load())

    assert perf_counter() - started >= 0.5
    assert len(server.asked) == outcome.offered == outcome.count(200) == 100


def all_at_once(awaited: int) -> Answering:
    """Answers nobody before so many have asked."""
    released = asyncio.Event()

    async def answer(number: int) -> bytes:
        if number == awaited:
            released.set()
        await released.wait()
        return GOOD

    return answer


def test_a_constant_load_asks_whatever_is_unanswered() -> None:
    async def load() -> Outcome:
        async with serving(all_at_once(50)) as server:
            return await constant(server.port, requests(), rate=500, seconds=0.1)

    assert run(load()).count(200) == 50


def test_the_time_of_an_answer_is_from_when_its_request_was_due() -> None:
    async def load() -> Outcome:
        async with serving(all_at_once(20)) as server:
            return await constant(server.port, requests(), rate=100, seconds=0.2)

    latencies = run(load()).latencies[200]

    # The first was due 190 ms before the last, whose coming lets all go.
    assert max(latencies) >= 0.19
    assert len(latencies) == 20


def test_a_constant_load_has_patience_for_answers_up_to_a_point() -> None:
    async def load() -> Outcome:
        async with serving(never) as server:
            return await constant(server.port, requests(), rate=500, seconds=0.1, patience_s=0.1)

    outcome = run(load())

    assert (outcome.count(200), outcome.count(NO_ANSWER), outcome.refused) == (0, 50, 0)
    assert outcome.percentile(0.99) == math.inf


def test_a_constant_load_gives_up_what_is_due_when_every_connection_is_taken() -> None:
    async def load() -> Outcome:
        async with serving(never) as server:
            return await constant(server.port, requests(), rate=500, seconds=0.1, most_connections=7, patience_s=0.1)

    outcome = run(load())

    assert (outcome.count(NO_ANSWER), outcome.refused, outcome.offered) == (7, 43, 50)


def test_an_answer_that_comes_when_the_time_is_over_is_no_throughput() -> None:
    async def load() -> Outcome:
        async with serving(all_at_once(10)) as server:
            loading = asyncio.create_task(constant(server.port, requests(), rate=100, seconds=0.09))
            await asyncio.wait([loading], timeout=0.15)  # it can't end before the tenth has come
            await closed(server.port, islice(requests(), 1), connections=1)
            return await loading

    outcome = run(load())

    assert (outcome.count(200), outcome.in_time) == (9, 0)


def test_answers_are_counted_by_status() -> None:
    async def every_third_is_refused(number: int) -> bytes:
        return BUSY if number % 3 == 0 else GOOD

    async def load() -> Outcome:
        async with serving(every_third_is_refused) as server:
            return await constant(server.port, requests(), rate=300, seconds=0.1)

    outcome = run(load())

    assert (outcome.count(200), outcome.count(503)) == (20, 10)
    assert outcome.retry_after == {"3": 10}
    assert outcome.good == pytest.approx(2 / 3)


def test_a_closed_load_sends_every_request_once_over_connections_that_it_keeps() -> None:
    async def load() -> tuple[Server, Outcome]:
        async with serving(good) as server:
            return server, await closed(server.port, islice(requests(), 100), connections=4)

    server, outcome = run(load())

    assert sorted(server.asked) == sorted(islice(requests(), 100))
    assert server.connections == 4
    assert outcome.count(200) == 100


def test_a_closed_load_counts_nothing_of_its_warm_up() -> None:
    async def load() -> tuple[Server, Outcome]:
        async with serving(good) as server:
            return server, await closed(server.port, requests(), connections=2, seconds=0.3, warm_up_s=0.1)

    server, outcome = run(load())

    assert 0 < outcome.count(200) < len(server.asked)
    assert outcome.rate == outcome.count(200) / 0.3


def test_a_connection_that_breaks_is_an_answer_that_never_came() -> None:
    async def breaks_once(number: int) -> bytes:
        if number == 1:
            raise ConnectionError
        return GOOD

    async def load() -> Outcome:
        async with serving(breaks_once) as server:
            return await closed(server.port, islice(requests(), 5), connections=1)

    outcome = run(load())

    assert (outcome.count(NO_ANSWER), outcome.count(200)) == (1, 4)
    with pytest.raises(RuntimeError, match="0"):
        outcome.all_good()


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (0.995, 100), (1.0, 100)]
)
def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed(share: float, expected: int) -> None:
    assert percentile([*range(100, 0, -1)], share) == expected


def test_the_percentile_of_nothing_is_infinite() -> None:
    assert percentile([], 0.5) == math.inf
