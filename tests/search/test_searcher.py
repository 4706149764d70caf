"""A store for asyncio: within its bounds, measured, and let go."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import pytest
from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable, InvalidRequest, ItemNotFound, Overloaded, SpaceMismatch
from app.search.fields import Field
from app.search.filters import Filter, parsed
from app.search.searcher import AT_ONCE, REMEMBERED_S, TOLD_FOR_S, Searcher
from app.search.store import DEEPEST, About, Found, Item, Store, check_space
from app.telemetry import timings

from tests.search.conftest import DIMENSIONS, OTHER_SPACE, SPACE, unit
from tests.telemetry.test_metrics import added, counted

EVERYTHING = parsed({})
SCORES = {"a": 0.9, "b": 0.7, "c": 0.4, "d": -0.2}


class Shelf:
    """A store that always finds the same, tells what it was asked, and works only while it may."""

    kind: ClassVar[str] = "shelf"

    def __init__(self, scores: Mapping[str, float] = SCORES, space: str = SPACE) -> None:
        self.scores = scores
        self.space = space
        self.open = threading.Event()
        self.open.set()
        self.most_at_work = 0
        self.limits: list[int] = []
        self.asked_for: list[str] = []
        self.fails: Exception | None = None
        self.closed = False
        self.let_go = False
        self.counted = 0
        self.settled = 0
        self.cant_settle: Exception | None = None
        self.settling = threading.Event()
        self._begun = threading.Semaphore(0)
        self._at_work = 0
        self._lock = threading.Lock()

    async def begun(self, times: int) -> None:
        """Wait until it was asked so many times more."""
        for _ in range(times):
            assert await asyncio.to_thread(self._begun.acquire, timeout=30)

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._lock:
            self._at_work += 1
            self.most_at_work = max(self.most_at_work, self._at_work)
        self._begun.release()
        try:
            assert self.open.wait(30)
            if self.fails:
                raise self.fails
            yield
        finally:
            with self._lock:
                self._at_work -= 1

    def about(self) -> About:
        with self._working():
            return About(self.space, DIMENSIONS, len(self.scores))

    def search(self, vector: Vectors, limit: int, where: Filter, space: str) -> list[Found]:
        with self._working():
            check_space(About(self.space, DIMENSIONS, 0), space, len(vector))
            self.limits.append(limit)
            found = [] if where else [Found(name, score, {}) for name, score in self.scores.items()]
            return found[:limit]

    def vectors(self, ids: Sequence[str], space: str) -> dict[str, Vectors]:
        with self._working():
            return {each: unit(1) for each in ids if each in self.scores}

    def upsert(self, items: Sequence[Item], space: str) -> None:
        with self._working():
            pass

    def delete(self, ids: Sequence[str]) -> int:
        with self._working():
            return sum(each in self.scores for each in ids)

    def has_field(self, name: str) -> bool:
        with self._working():
            self.asked_for.append(name)
            return bool(self.scores) and name == "year"

    def metadata_of(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        with self._working():
            return {each: {"score": self.scores[each]} for each in ids if each in self.scores}

    def fields(self) -> dict[str, Field]:
        with self._working():
            self.counted += 1
            return {"year": Field((), self.counted)} if self.scores else {}

    def digests(self) -> dict[str, str]:
        return {}

    def items(self) -> Iterator[Item]:
        try:
            for name in self.scores:
                yield Item(name, unit(1), {})
        finally:
            self.let_go = True

    def settle(self) -> None:
        self.settled += 1
        self.settling.set()
        if self.cant_settle:
            raise self.cant_settle

    def anew(self) -> AbstractContextManager[Store]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def run(shelf: Shelf, scene: Callable[[Searcher], Awaitable[Any]], most_waiting: int = 100) -> Any:
    """What a scene with a searcher of this shelf comes to."""

    async def played() -> Any:
        searcher = Searcher(shelf, most_waiting=most_waiting)
        try:
            return await scene(searcher)
        finally:
            await searcher.close()

    return asyncio.run(played())


def found(shelf: Shelf, **options: Any) -> list[str]:
    """The ids of what a search finds."""
    where = parsed(options.pop("where", {}))

    async def scene(searcher: Searcher) -> list[Found]:
        results: list[Found] = await searcher.search(unit(1), SPACE, where, **{"k": 10} | options)
        return results

    return [each.id for each in run(shelf, scene)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "abcd"),
        ({"k": 2}, "ab"),
        ({"k": 2, "offset": 1}, "bc"),
        ({"offset": 4}, ""),
        ({"min_score": 0.4}, "abc"),
        ({"min_score": 0.4, "offset": 1, "k": 1}, "b"),
        ({"without": ["a", "c"]}, "bd"),
        ({"without": ["a"], "k": 3}, "bcd"),
        ({"without": ["a"], "k": 2, "offset": 1}, "cd"),
    ],
)
def test_a_search_gives_what_is_wanted_of_the_nearest(options: dict[str, Any], expected: str) -> None:
    assert found(Shelf(), **options) == [*expected]


def test_no_more_is_asked_of_a_store_than_is_needed() -> None:
    shelf = Shelf()

    found(shelf, k=2, offset=3, without=["a", "b"])

    assert shelf.limits == [7]


def test_no_more_is_asked_of_a_store_than_it_can_give() -> None:
    shelf = Shelf()

    found(shelf, k=10, offset=DEEPEST - 10, without=["a"])

    assert shelf.limits == [DEEPEST]


def test_a_filter_that_lets_nothing_through_finds_nothing() -> None:
    assert found(Shelf(), where={"year": 1840}) == []


def test_a_filter_on_a_field_that_no_item_has_is_invalid() -> None:
    with pytest.raises(InvalidRequest, match="No item of the index has a field 'yaer'"):
        found(Shelf(), where={"year": 1840, "yaer": 1840})


def test_a_filter_on_an_empty_index_finds_nothing() -> None:
    assert found(Shelf({}), where={"yaer": 1840}) == []


def test_fields_are_looked_for_only_where_nothing_was_found() -> None:
    shelf = Shelf()

    found(shelf, min_score=1)

    assert shelf.asked_for == []


def test_vectors_of_another_space_are_refused() -> None:
    with pytest.raises(SpaceMismatch):
        found(Shelf(space=OTHER_SPACE))


def test_an_item_that_is_not_there_has_no_vector() -> None:
    async def scene(searcher: Searcher) -> None:
        assert [*await searcher.vectors(["b", "a"], SPACE)] == ["b", "a"]
        with pytest.raises(ItemNotFound, match="'x'"):
            await searcher.vectors(["a", "x"], SPACE)

    run(Shelf(), scene)


def test_an_item_is_told_of_if_it_is_there() -> None:
    async def scene(searcher: Searcher) -> None:
        assert await searcher.item("b") == {"score": 0.7}
        with pytest.raises(ItemNotFound, match="'x'"):
            await searcher.item("x")

    run(Shelf(), scene)


@pytest.mark.parametrize(("most", "expected"), [(2, "ab"), (100, "abcd")])
def test_some_items_are_told_of_and_the_rest_is_let_go(most: int, expected: str) -> None:
    shelf = Shelf()

    async def scene(searcher: Searcher) -> None:
        assert [item.id for item in await searcher.some(most)] == [*expected]
        assert shelf.let_go

    run(shelf, scene)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is, as a searcher has it."""
    now = [0.0]
    monkeypatch.setattr("app.search.searcher.monotonic", lambda: now[0])
    return now


async def counts(searcher: Searcher) -> int:
    """How often fields had been counted when they were told."""
    return (await searcher.fields())["year"].distinct


def test_fields_are_counted_once_for_all_who_ask() -> None:
    shelf = Shelf()
    shelf.open.clear()

    async def scene(searcher: Searcher) -> None:
        asking = [asyncio.create_task(counts(searcher)) for _ in range(5)]
        await shelf.begun(1)
        shelf.open.set()
        assert await asyncio.gather(*asking) == [1] * 5

    run(shelf, scene)


def test_fields_are_counted_to_the_end_though_the_first_who_asked_has_gone() -> None:
    shelf = Shelf()
    shelf.open.clear()

    async def scene(searcher: Searcher) -> None:
        gone = asyncio.create_task(counts(searcher))
        await shelf.begun(1)
        gone.cancel()
        await asyncio.wait([gone])
        shelf.open.set()
        assert await counts(searcher) == 1

    run(shelf, scene)


def test_fields_are_remembered_for_a_while_and_told_while_they_are_counted_again(clock: list[float]) -> None:
    shelf = Shelf()

    async def scene(searcher: Searcher) -> None:
        assert await counts(searcher) == 1
        clock[0] = REMEMBERED_S - 1
        assert await counts(searcher) == 1
        clock[0] = REMEMBERED_S
        shelf.open.clear()
        assert await counts(searcher) == await counts(searcher) == 1
        assert searcher._counting
        shelf.open.set()
        await searcher._counting
        assert await counts(searcher) == shelf.counted == 2

    run(shelf, scene)


def test_fields_of_long_ago_are_not_told(clock: list[float]) -> None:
    async def scene(searcher: Searcher) -> None:
        assert await counts(searcher) == 1
        clock[0] = TOLD_FOR_S
        assert await counts(searcher) == 2

    run(Shelf(), scene)


def test_a_field_that_is_new_is_told_at_once() -> None:
    shelf = Shelf()

    async def scene(searcher: Searcher) -> None:
        assert await counts(searcher) == 1
        await searcher.put_in([Item("a", unit(1), {"year": 1840, "maker": {}})], SPACE)
        assert await counts(searcher) == 1
        await searcher.put_in([Item("b", unit(1), {"year": 1840, "title": "new"})], SPACE)
        assert await counts(searcher) == 2

    run(shelf, scene)


def test_fields_that_could_not_be_counted_are_counted_when_they_are_asked_for_again(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf()

    async def scene(searcher: Searcher) -> None:
        assert await counts(searcher) == 1
        shelf.fails = IndexUnavailable("The index doesn't answer.")
        clock[0] = REMEMBERED_S
        assert await counts(searcher) == 1
        assert searcher._counting
        await asyncio.wait([searcher._counting])
        clock[0] = TOLD_FOR_S
        with pytest.raises(IndexUnavailable):
            await counts(searcher)
        shelf.fails = None
        assert await counts(searcher) == 2

    run(shelf, scene)

    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


def test_a_store_is_asked_for_so_much_at_once_and_no_more() -> None:
    shelf = Shelf()
    shelf.open.clear()

    async def scene(searcher: Searcher) -> None:
        searches = [asyncio.create_task(searcher.search(unit(1), SPACE, EVERYTHING, k=1)) for _ in range(3 * AT_ONCE)]
        await shelf.begun(AT_ONCE)
        shelf.open.set()
        await asyncio.gather(*searches)

    run(shelf, scene)

    assert len(shelf.limits) == 3 * AT_ONCE
    assert shelf.most_at_work == AT_ONCE


def test_a_store_that_does_not_answer_leaves_other_threads_free() -> None:
    shelf = Shelf()
    shelf.open.clear()

    async def scene(searcher: Searcher) -> str:
        searches = [asyncio.create_task(searcher.search(unit(1), SPACE, EVERYTHING, k=1)) for _ in range(100)]
        await shelf.begun(AT_ONCE)
        elsewhere = await asyncio.to_thread(str.upper, "elsewhere")
        shelf.open.set()
        await asyncio.gather(*searches)
        return elsewhere

    assert run(shelf, scene) == "ELSEWHERE"


def test_where_too_much_is_asked_already_more_is_refused_for_now() -> None:
    shelf = Shelf()
    shelf.open.clear()

    async def scene(searcher: Searcher) -> None:
        waiting = [asyncio.create_task(searcher.take_out("a")) for _ in range(3)]
        await shelf.begun(3)
        with pytest.raises(Overloaded):
            await searcher.take_out("a")
        shelf.open.set()
        assert await asyncio.gather(*waiting) == [1, 1, 1]
        assert await searcher.take_out("a") == 1

    run(shelf, scene, most_waiting=3)


def test_who_gives_up_does_not_wait_for_the_store_and_leaves_room() -> None:
    shelf = Shelf()
    shelf.open.clear()

    async def scene(searcher: Searcher) -> None:
        given_up = asyncio.create_task(searcher.search(unit(1), SPACE, EVERYTHING, k=1))
        await shelf.begun(1)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert given_up.cancelled()
        shelf.open.set()
        assert await searcher.take_out("a") == 1

    run(shelf, scene, most_waiting=1)


def test_the_time_of_a_store_is_a_stage_of_the_request() -> None:
    async def scene(searcher: Searcher) -> list[str]:
        account = timings.begin()
        await searcher.search(unit(1), SPACE, EVERYTHING, k=1)
        return [*account.stages]

    assert run(Shelf(), scene) == ["search"]


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({}, "found"),
        ({"offset": 4}, "found"),
        ({"min_score": 0.95}, "empty"),
        ({"where": {"year": 1840}}, "empty"),
    ],
)
def test_a_search_counts_by_whether_it_found_something(options: dict[str, Any], outcome: str) -> None:
    def work() -> None:
        found(Shelf(), **options)

    assert added("embeddings_search_seconds_count", work, store="shelf", outcome=outcome) == 1


def test_a_search_that_fails_counts_under_its_code() -> None:
    shelf = Shelf()
    shelf.fails = IndexUnavailable("The index doesn't answer.")

    def work() -> None:
        with pytest.raises(IndexUnavailable):
            found(shelf)

    assert added("embeddings_search_seconds_count", work, store="shelf", outcome="index_unavailable") == 1


def test_items_count_by_what_has_become_of_them() -> None:
    async def scene(searcher: Searcher) -> None:
        await searcher.put_in([Item("x", unit(1), {}), Item("y", unit(1), {})], SPACE)
        await searcher.take_out("a")
        await searcher.take_out("no such item")

    before = [counted("embeddings_index_items_total", store="shelf", outcome=each) for each in ("ingested", "deleted")]
    run(Shelf(), scene)
    after = [counted("embeddings_index_items_total", store="shelf", outcome=each) for each in ("ingested", "deleted")]

    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 1]


def looked_at(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> tuple[str, str]:
    """The level and the words of what is said of an index."""
    with caplog.at_level(logging.INFO, "app.search"):
        run(shelf, lambda searcher: searcher.look(SPACE, DIMENSIONS))
    (record,) = caplog.records
    return record.levelname, record.getMessage()


def test_an_index_that_can_be_searched_is_said_to_be_there(caplog: pytest.LogCaptureFixture) -> None:
    assert looked_at(Shelf(), caplog) == ("INFO", "the index (shelf) has 4 item(s)")


def test_an_index_of_another_space_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    level, line = looked_at(Shelf(space=OTHER_SPACE), caplog)

    assert level == "ERROR"
    assert SPACE in line
    assert OTHER_SPACE in line


def test_an_index_that_does_not_answer_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    shelf.fails = IndexUnavailable("The index doesn't answer.")

    assert looked_at(shelf, caplog) == ("ERROR", "The index doesn't answer. Searches are refused until it does.")


def test_a_store_is_let_go_at_the_end() -> None:
    shelf = Shelf()

    run(shelf, lambda searcher: searcher.take_out("a"))

    assert shelf.closed


def test_an_index_is_settled_after_many_changes_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.search.searcher.SETTLED_AFTER", 3)
    shelf = Shelf()

    async def scene(searcher: Searcher) -> None:
        await searcher.put_in([Item(str(number), unit(1), {}) for number in range(2)], SPACE)
        assert searcher._settling is None
        await searcher.put_in([Item("2", unit(1), {})], SPACE)
        assert await asyncio.to_thread(shelf.settling.wait, 30)

    run(shelf, scene)

    assert shelf.settled == 1


@pytest.mark.parametrize("failure", [IndexUnavailable("The index can't be written."), ZeroDivisionError()])
def test_an_index_that_cant_be_settled_is_searched_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    monkeypatch.setattr("app.search.searcher.SETTLED_AFTER", 1)
    shelf = Shelf()
    shelf.cant_settle = failure

    async def scene(searcher: Searcher) -> None:
        await searcher.put_in([Item("1", unit(1), {})], SPACE)
        assert searcher._settling
        await asyncio.to_thread(searcher._settling.join, 30)
        assert await searcher.search(unit(1), SPACE, EVERYTHING, k=1)

    run(shelf, scene)

    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == ["app.search.searcher"]
