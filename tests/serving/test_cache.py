"""What is remembered, and what is computed once for several."""

import asyncio
from dataclasses import dataclass, field

import pytest
from app.serving.cache import Cache
from app.telemetry import timings

from tests.serving.clock import now, run, settle


@dataclass
class Work:
    """Takes a second, counts how often it was begun and finished, and fails if told to."""

    begun: int = 0
    finished: int = 0
    failures: list[Exception] = field(default_factory=list)

    async def __call__(self) -> int:
        self.begun += 1
        await asyncio.sleep(1)
        self.finished += 1
        if self.failures:
            raise self.failures.pop()
        return self.finished


def test_what_was_computed_is_not_computed_again() -> None:
    async def scene() -> None:
        cache, work = Cache[int](10, "text"), Work()
        assert [await cache.get(b"a", 2, work) for _ in range(3)] == [1, 1, 1]
        assert work.begun == 1

    run(scene())


def test_another_key_is_another_value() -> None:
    async def scene() -> None:
        cache, work = Cache[int](10, "text"), Work()
        assert [await cache.get(key, 2, work) for key in (b"a", b"b", b"a")] == [1, 2, 1]

    run(scene())


def test_what_was_asked_for_longest_ago_is_forgotten_first() -> None:
    async def scene() -> None:
        cache, work = Cache[int](2, "text"), Work()
        for key in (b"a", b"b", b"a", b"c"):
            await cache.get(key, 2, work)
        assert len(cache) == 2
        assert await cache.get(b"a", 2, work) == 1
        assert await cache.get(b"b", 2, work) == 4

    run(scene())


def test_a_cache_of_nothing_remembers_nothing() -> None:
    async def scene() -> None:
        cache, work = Cache[int](0, "text"), Work()
        assert [await cache.get(b"a", 2, work) for _ in range(2)] == [1, 2]
        assert len(cache) == 0

    run(scene())


def test_who_asks_while_it_is_computed_waits_for_the_same() -> None:
    async def scene() -> None:
        cache, work = Cache[int](0, "text"), Work()
        assert await asyncio.gather(*(cache.get(b"a", 2, work) for _ in range(5))) == [1] * 5
        assert (work.begun, now()) == (1, 1)

    run(scene())


def test_a_failure_reaches_everybody_who_waits_and_is_not_remembered() -> None:
    async def scene() -> None:
        cache, work = Cache[int](10, "text"), Work(failures=[ArithmeticError()])
        results = await asyncio.gather(*(cache.get(b"a", 2, work) for _ in range(2)), return_exceptions=True)
        assert [type(result) for result in results] == [ArithmeticError] * 2
        assert await cache.get(b"a", 2, work) == 2

    run(scene())


def test_one_who_gives_up_leaves_the_work_to_the_others() -> None:
    async def scene() -> None:
        cache, work = Cache[int](10, "text"), Work()
        first, second = (asyncio.create_task(cache.get(b"a", 2, work)) for _ in range(2))
        await settle()
        first.cancel()
        assert await second == 1

    run(scene())


def test_work_that_nobody_waits_for_ends_and_whoever_comes_then_begins_anew() -> None:
    async def scene() -> None:
        cache, work = Cache[int](10, "text"), Work()
        gone = asyncio.create_task(cache.get(b"a", 2, work))
        await settle()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await cache.get(b"a", 2, work) == 1
        assert (work.begun, work.finished) == (2, 1)

    run(scene())


def test_the_urgent_do_not_join_what_others_have_time_for() -> None:
    async def scene() -> None:
        cache, work = Cache[int](10, "text"), Work()
        night = asyncio.create_task(cache.get(b"a", 6, work))
        await settle()
        urgent = asyncio.create_task(cache.get(b"a", 2, work))
        await settle()
        late = asyncio.create_task(cache.get(b"a", 6, work))
        await asyncio.gather(night, urgent, late)
        assert work.begun == 2

    run(scene())


def test_a_hit_is_told_to_the_request() -> None:
    async def scene() -> None:
        cache, work = Cache[int](10, "text"), Work()
        await cache.get(b"a", 2, work)
        account = timings.begin()
        await cache.get(b"a", 2, work)
        assert ([*account.stages], account.lookups) == (["cache"], {"hit": 1})

    run(scene())
