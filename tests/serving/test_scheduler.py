"""Work waiting for an engine: who comes first, with whom, and what is given up. Engine and clock are stand-ins."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from app.errors import Overloaded
from app.serving.scheduler import Batching, Scheduler
from app.telemetry import timings

from tests.serving.clock import now, run, settle

NIGHT_JOB, SEARCH = 6, 2


@dataclass
class Engine:
    """Doubles numbers, a second a batch; some it can't stand."""

    poison: frozenset[int] = frozenset()
    broken: bool = False
    batches: list[list[int]] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)

    async def __call__(self, items: list[int]) -> Sequence[int]:
        self.batches.append(items)
        self.begun.append(now())
        await asyncio.sleep(1)
        if self.broken or self.poison & {*items}:
            raise ArithmeticError("the engine broke")
        return [2 * item for item in items]


def scheduler(engine: Any, *, waiting: int = 100, **batching: Any) -> Scheduler[int, int]:
    return Scheduler(engine, Batching(**{"items": 4, "total": 4} | batching), queue="texts", most_waiting=waiting)


def ask(lane: Scheduler[int, int], *items: int, urgency: int = SEARCH) -> list["asyncio.Task[int]"]:
    return [asyncio.create_task(lane.submit(item, urgency)) for item in items]


def test_a_lone_item_is_computed_at_once() -> None:
    async def scene() -> None:
        engine = Engine()
        assert await scheduler(engine).submit(3, SEARCH) == 6
        assert (engine.batches, engine.begun, now()) == ([[3]], [0], 1)

    run(scene())


def test_what_comes_together_is_computed_together() -> None:
    async def scene() -> None:
        engine = Engine()
        assert await asyncio.gather(*ask(scheduler(engine), 1, 2, 3)) == [2, 4, 6]
        assert engine.batches == [[1, 2, 3]]

    run(scene())


def test_what_came_while_the_engine_was_busy_is_the_next_batch_up_to_its_size() -> None:
    async def scene() -> None:
        engine = Engine()
        lane = scheduler(engine)
        first = ask(lane, 0)
        await settle()
        await asyncio.gather(*first, *ask(lane, 1, 2, 3, 4, 5))
        assert engine.batches == [[0], [1, 2, 3, 4], [5]]

    run(scene())


def test_as_many_batches_are_in_flight_as_there_are_streams() -> None:
    async def scene() -> None:
        engine = Engine()
        await asyncio.gather(*ask(scheduler(engine, streams=2, items=1), 1, 2, 3))
        assert engine.begun == [0, 0, 1]

    run(scene())


def test_the_more_urgent_goes_first_and_shares_its_batch_with_nobody_less_urgent() -> None:
    async def scene() -> None:
        engine = Engine()
        lane = scheduler(engine)
        running = ask(lane, 0, urgency=NIGHT_JOB)
        await settle()
        await asyncio.gather(*running, *ask(lane, 1, 2, urgency=NIGHT_JOB), *ask(lane, 9))
        assert engine.batches == [[0], [9], [1, 2]]

    run(scene())


def test_a_query_waits_for_one_batch_of_a_list_at_most() -> None:
    async def scene() -> None:
        engine = Engine()
        lane = scheduler(engine)
        of_list = [asyncio.create_task(lane.submit_of_list(item, NIGHT_JOB)) for item in range(100)]
        await asyncio.sleep(10.5)
        await lane.submit(7, SEARCH)
        assert now() == 12
        await asyncio.gather(*of_list)

    run(scene())


def test_items_of_like_size_are_computed_together() -> None:
    async def scene() -> None:
        engine = Engine()
        lane = scheduler(engine, items=9, total=1000, size=lambda item: item)
        await asyncio.gather(*ask(lane, 5, 70, 6, 8, 60))
        assert engine.batches == [[5, 6, 8], [70, 60]]

    run(scene())


def test_a_batch_is_no_larger_in_all_than_the_engine_takes() -> None:
    async def scene() -> None:
        engine = Engine()
        lane = scheduler(engine, items=9, total=20, size=lambda item: item)
        await asyncio.gather(*ask(lane, 6, 6, 6, 6, 30))
        assert engine.batches == [[6, 6, 6], [6], [30]]

    run(scene())


def test_what_nobody_waits_for_any_more_is_not_computed() -> None:
    async def scene() -> None:
        engine = Engine()
        lane = scheduler(engine, items=1)
        first, gone, last = ask(lane, 1, 2, 3)
        await settle()
        gone.cancel()
        assert [await first, await last] == [2, 6]
        assert (engine.batches, lane.waiting) == ([[1], [3]], 0)

    run(scene())


def test_what_has_passed_its_deadline_is_not_computed() -> None:
    async def scene() -> None:
        engine = Engine()
        lane = scheduler(engine, items=1)
        first = ask(lane, 1)
        await settle()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(lane.submit(2, SEARCH), 0.5)
        await asyncio.gather(*first)
        assert engine.batches == [[1]]

    run(scene())


def test_who_gives_up_while_being_computed_spoils_nothing() -> None:
    async def scene() -> None:
        lane = scheduler(Engine())
        gone, stays = ask(lane, 1, 2)
        await settle()
        gone.cancel()
        assert await stays == 4
        assert await lane.submit(3, SEARCH) == 6

    run(scene())


def test_one_poisonous_item_fails_alone() -> None:
    async def scene() -> None:
        engine = Engine(poison=frozenset({2}))
        good, poison, better = await asyncio.gather(*ask(scheduler(engine), 1, 2, 3), return_exceptions=True)
        assert (good, better) == (2, 6)
        assert isinstance(poison, ArithmeticError)
        assert engine.batches == [[1, 2, 3], [1], [2], [3]]

    run(scene())


def test_a_broken_engine_fails_everybody_and_the_scheduler_lives_on() -> None:
    async def scene() -> None:
        engine = Engine(broken=True)
        lane = scheduler(engine)
        failures = await asyncio.gather(*ask(lane, 1, 2), return_exceptions=True)
        assert [type(failure) for failure in failures] == [ArithmeticError] * 2
        engine.broken = False
        assert await lane.submit(3, SEARCH) == 6

    run(scene())


def test_an_engine_that_forgets_a_result_leaves_nobody_waiting() -> None:
    async def forgetful(items: list[int]) -> list[int]:
        return items[1:]

    async def scene() -> None:
        results = await asyncio.gather(*ask(scheduler(forgetful), 1, 2), return_exceptions=True)
        assert [type(result) for result in results] == [ValueError] * 2

    run(scene())


def test_beyond_its_bound_items_are_refused_at_once() -> None:
    async def scene() -> None:
        lane = scheduler(Engine(), waiting=2, items=1)
        taken = ask(lane, 1, 2, 3)  # one is computed, two wait
        await settle()
        with pytest.raises(Overloaded):
            await lane.submit(4, SEARCH)
        assert now() == 0
        assert await asyncio.gather(*taken) == [2, 4, 6]

    run(scene())


def test_room_that_others_give_up_is_room_again() -> None:
    async def scene() -> None:
        lane = scheduler(Engine(), waiting=2, items=1)
        running, *waiting = ask(lane, 1, 2, 3)
        await settle()
        for task in waiting:
            task.cancel()
        await settle()
        assert await lane.submit(4, SEARCH) == 8
        assert running.done()

    run(scene())


def test_a_refusal_says_when_what_waits_will_have_been_computed() -> None:
    async def scene() -> int | None:
        lane = scheduler(Engine(), waiting=7, items=1)
        await lane.submit(0, SEARCH)  # a second: the pace
        taken = ask(lane, *range(8))
        await settle()
        with pytest.raises(Overloaded) as refused:
            await lane.submit(9, SEARCH)
        await asyncio.gather(*taken)
        return refused.value.retry_after_s

    assert run(scene()) == 7


@pytest.mark.parametrize(("seconds", "says"), [(0.01, 1), (1000, 60)])
def test_a_refusal_names_a_time_that_makes_sense(seconds: float, says: int) -> None:
    async def at_a_pace(items: list[int]) -> list[int]:
        await asyncio.sleep(seconds)
        return items

    async def scene() -> int | None:
        lane = scheduler(at_a_pace, waiting=1, items=1)
        await lane.submit(0, SEARCH)
        taken = ask(lane, 1, 2)
        await settle()
        with pytest.raises(Overloaded) as refused:
            await lane.submit(3, SEARCH)
        await asyncio.gather(*taken)
        return refused.value.retry_after_s

    assert run(scene()) == says


def test_a_list_is_never_refused_and_keeps_nobody_out() -> None:
    async def scene() -> None:
        lane = scheduler(Engine(), waiting=1, items=1)
        of_list = [asyncio.create_task(lane.submit_of_list(item, NIGHT_JOB)) for item in range(50)]
        await settle()
        assert lane.waiting == 1  # one is computed, one waits, the others stand outside
        assert await lane.submit(7, SEARCH) == 14
        assert await asyncio.gather(*of_list) == [2 * item for item in range(50)]

    run(scene())


def test_a_list_does_not_wait_for_one_that_is_less_urgent() -> None:
    async def scene() -> None:
        lane = scheduler(Engine(), items=1)
        night = [asyncio.create_task(lane.submit_of_list(item, NIGHT_JOB)) for item in range(50)]
        await settle()
        await asyncio.gather(*(lane.submit_of_list(item, 1) for item in range(2)))
        assert now() == 3
        await asyncio.gather(*night)

    run(scene())


def test_a_request_learns_how_long_it_waited_and_was_computed() -> None:
    async def timed(lane: Scheduler[int, int]) -> dict[str, float]:
        account = timings.begin()
        await lane.submit(1, SEARCH)
        return account.stages

    async def scene() -> None:
        lane = scheduler(Engine(), items=1)
        first, second = await asyncio.gather(timed(lane), timed(lane))
        assert first == pytest.approx({"queue": 0, "infer": 1000}, abs=0.01)
        assert second == pytest.approx({"queue": 1000, "infer": 1000}, abs=0.01)

    run(scene())


def test_a_list_takes_its_shares_of_the_batches_and_its_longest_wait() -> None:
    async def scene() -> dict[str, float]:
        lane = scheduler(Engine())
        account = timings.begin()
        await asyncio.gather(*(lane.submit_of_list(item, NIGHT_JOB) for item in range(8)))
        return account.stages

    assert run(scene()) == pytest.approx({"queue": 1000, "infer": 2000}, abs=0.01)


def test_who_would_wait_too_long_is_refused_though_there_is_room() -> None:
    async def scene() -> None:
        lane = Scheduler(Engine(), Batching[int](), queue="texts", most_waiting=100, longest_wait_s=2.5)
        await lane.submit(0, SEARCH)  # a second: the pace
        taken = ask(lane, 1, 2, 3, 4)  # one is computed, three wait
        await settle()
        with pytest.raises(Overloaded):
            lane.check_room()
        assert [await task for task in taken] == [2, 4, 6, 8]
        lane.check_room()

    run(scene())
