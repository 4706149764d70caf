"""One model in one worker: loading, lanes, deadlines, and what health follows. The model is a stand-in."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

import numpy as np
import pytest
from app.embeddings import EmbeddingModel
from app.embeddings.tokenizer import Tokens
from app.errors import DeadlineExceeded, ModelUnavailable, NotReady, Overloaded
from app.serving import Embedder, State

LIMITS: Any = {"max_queue": 2, "timeout_s": 5, "inference_timeout_s": 5, "cache_items": 100}
SEARCH, NIGHT_JOB = 2, 6
PIXELS = np.zeros((2, 2, 3), np.uint8)


class StandIn:
    """A model that does what a test tells it to, as an engine of two texts or pictures at once."""

    dimensions = 1
    space = "a-space"
    streams = 1
    tokens = 2
    pictures = 2

    def __init__(self) -> None:
        self.work: Callable[[], object] = lambda: None
        self.batches_seen: list[list[tuple[int, ...]]] = []
        self.poison: list[int] | None = None
        self.begun = 0
        self.tested = 0
        self.number = 1.0
        self.engine = self

    def tokenize(self, text: str) -> Tokens:
        return Tokens([len(text)], truncated=False)

    def length(self, row: list[int]) -> int:
        return len(row)

    def embed_tokens(self, rows: list[list[int]]) -> Any:
        self.begun += 1
        self.work()
        if self.poison in rows:
            _fail()
        self.batches_seen.append([tuple(row) for row in rows])
        return np.array(rows, np.float32)

    def embed_pixels(self, pictures: list[Any]) -> Any:
        return np.full((len(pictures), 1), self.number, np.float32)

    def self_test(self) -> None:
        self.tested += 1
        self.work()


def run(test: Callable[[Embedder, StandIn], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a test against an embedder whose model is loaded."""

    async def scene() -> None:
        model = StandIn()
        embedder = Embedder(lambda: cast(EmbeddingModel, model), **LIMITS | options)
        embedder.start()
        await until(lambda: embedder.state is State.HEALTHY)
        await test(embedder, model)
        await embedder.stop()

    asyncio.run(scene())


async def embed_text(embedder: Embedder, text: str) -> Any:
    """A text's vector, as a list."""
    return (await embedder.embed_tokens(await embedder.tokenize_one(text), SEARCH)).tolist()


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something is so; a test that waits in vain is ended here."""
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be so")


def test_a_text_and_a_picture_are_embedded() -> None:
    async def scene(embedder: Embedder, _: StandIn) -> None:
        assert (await embedder.tokenize_one("four")).ids == [4]
        assert await embed_text(embedder, "four") == [4]
        assert (await embedder.embed_picture(PIXELS, SEARCH)).tolist() == [1]

    run(scene)


def of_lengths(*lengths: int) -> list[Tokens]:
    return [Tokens([length], truncated=False) for length in lengths]


def test_a_list_of_texts_is_embedded_in_its_order_batch_by_batch() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        assert await embedder.tokenize(["a", "bcd"]) == of_lengths(1, 3)
        assert (await embedder.embed_list(of_lengths(5, 3, 4), NIGHT_JOB)).tolist() == [[5], [3], [4]]
        assert sorted(model.batches_seen) == [[(4,)], [(5,), (3,)]]

    run(scene)


def test_equal_texts_of_a_list_are_computed_once() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        assert (await embedder.embed_list(of_lengths(7, 8, 7, 7), NIGHT_JOB)).tolist() == [[7], [8], [7], [7]]
        assert model.batches_seen == [[(7,), (8,)]]

    run(scene)


def test_a_list_of_none_is_a_list_of_none() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        assert (await embedder.embed_list([], NIGHT_JOB)).shape == (0, 1)
        assert model.batches_seen == []

    run(scene)


def test_a_list_waits_outside_the_queue_and_keeps_nobody_out() -> None:
    release = threading.Event()

    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = lambda: _wait_for(release)
        a_list = asyncio.create_task(embedder.embed_list(of_lengths(*range(20)), NIGHT_JOB))
        await until(lambda: embedder.waiting == 18)  # two are computed
        single = asyncio.create_task(embed_text(embedder, "a text of its own"))
        await until(lambda: embedder.waiting == 19)
        release.set()
        await asyncio.gather(a_list, single)
        assert model.batches_seen[1] == [(17,)]

    run(scene)


def test_a_list_of_pictures_waits_outside_the_queue_too() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        pictures = [embedder.embed_picture(PIXELS, NIGHT_JOB, of_list=True) for _ in range(20)]
        assert len(await asyncio.gather(*pictures)) == 20

    run(scene)


def test_a_list_whose_batch_fails_fails_and_the_rest_of_it_is_not_computed() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        calls = []

        def fail() -> None:
            calls.append(1)
            _fail()

        model.work = fail
        with pytest.raises(RuntimeError):
            await embedder.embed_list(of_lengths(*range(20)), NIGHT_JOB)
        assert embedder.state is State.UNHEALTHY
        assert len(calls) < 5

    run(scene)


def test_while_the_model_loads_nothing_else_waits_and_work_is_refused() -> None:
    loaded = threading.Event()

    def load() -> EmbeddingModel:
        loaded.wait(10)
        return cast(EmbeddingModel, StandIn())

    async def scene() -> None:
        embedder = Embedder(load, **LIMITS)
        embedder.start()
        assert embedder.state is State.LOADING
        with pytest.raises(NotReady):
            await embed_text(embedder, "a")
        loaded.set()
        await until(lambda: embedder.state is State.HEALTHY)
        await embedder.stop()

    asyncio.run(scene())


@pytest.mark.parametrize("failure", [ModelUnavailable("no such model"), RuntimeError("out of memory")])
def test_a_model_that_can_not_be_loaded_makes_the_service_unhealthy_until_it_can(failure: Exception) -> None:
    failures = [failure]

    def load() -> EmbeddingModel:
        if failures:
            raise failures.pop()
        return cast(EmbeddingModel, StandIn())

    async def scene() -> None:
        embedder = Embedder(load, **LIMITS)
        embedder.start()
        await until(lambda: embedder.state is State.UNHEALTHY and not embedder.busy)
        with pytest.raises(NotReady):
            _ = embedder.model
        embedder.look_again()
        await until(lambda: embedder.state is State.HEALTHY)
        await embedder.stop()

    asyncio.run(scene())


def test_broken_inference_makes_the_service_unhealthy_and_the_next_good_one_healthy() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = _fail
        with pytest.raises(RuntimeError):
            await embed_text(embedder, "a")
        states = [embedder.state]
        model.work = lambda: None
        await embed_text(embedder, "a")
        assert [*states, embedder.state] == [State.UNHEALTHY, State.HEALTHY]

    run(scene)


def test_a_vector_that_is_none_is_never_given_out() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.number = float("nan")
        with pytest.raises(ArithmeticError):
            await embedder.embed_picture(PIXELS, SEARCH)
        assert embedder.state is State.UNHEALTHY

    run(scene)


def test_a_broken_service_tests_itself_when_it_is_asked_for_its_health() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = _fail
        with pytest.raises(RuntimeError):
            await embed_text(embedder, "a")
        model.work = lambda: None
        embedder.look_again()
        embedder.look_again()  # one test at a time
        await until(lambda: embedder.state is State.HEALTHY)
        assert model.tested == 1

    run(scene)


def test_an_engine_that_stays_broken_is_replaced() -> None:
    models = [StandIn(), StandIn()]

    async def scene() -> None:
        loading = iter(models)
        embedder = Embedder(lambda: cast(EmbeddingModel, next(loading)), **LIMITS)
        embedder.start()
        await until(lambda: embedder.state is State.HEALTHY)
        models[0].work = _fail
        with pytest.raises(RuntimeError):
            await embed_text(embedder, "a")
        embedder.look_again()
        await until(lambda: embedder.state is State.HEALTHY)
        assert await embed_text(embedder, "a") == [1]
        assert [model.tested for model in models] == [1, 0]
        await embedder.stop()

    asyncio.run(scene())


def test_while_no_engine_can_be_had_the_service_stays_unhealthy() -> None:
    async def scene() -> None:
        model = StandIn()
        models = [model]  # and no other
        embedder = Embedder(lambda: cast(EmbeddingModel, models.pop()), **LIMITS)
        embedder.start()
        await until(lambda: embedder.state is State.HEALTHY)
        model.work = _fail
        with pytest.raises(RuntimeError):
            await embed_text(embedder, "a")
        embedder.look_again()
        await until(lambda: not embedder.busy)
        assert embedder.state is State.UNHEALTHY
        with pytest.raises(NotReady):
            await embed_text(embedder, "a")
        await embedder.stop()

    asyncio.run(scene())


def test_an_engine_that_hangs_is_given_up_at_once_and_for_good() -> None:
    over = threading.Event()

    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = lambda: over.wait(10)
        asked = [embed_text(embedder, text) for text in ("a", "bb", "ccc")]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        embedder.look_again()
        over.set()
        assert {type(outcome) for outcome in outcomes} == {NotReady}
        assert (embedder.state, embedder.hung, embedder.busy) == (State.UNHEALTHY, True, False)
        assert model.begun == 1
        with pytest.raises(NotReady):
            await embed_text(embedder, "dddd")

    run(scene, inference_timeout_s=0.05, max_queue=3)


def test_what_was_asked_before_is_finished_while_nothing_new_is_taken() -> None:
    draining = threading.Event()

    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = lambda: draining.wait(10)
        asked = asyncio.gather(*(embed_text(embedder, text) for text in ("a", "bb", "ccc")))
        await until(lambda: model.begun == 1)
        embedder.drain()
        draining.set()
        with pytest.raises(NotReady):
            embedder.check_open()
        assert await asked == [[1], [2], [3]]
        assert embedder.state is State.DRAINING

    run(scene)


def test_a_model_that_is_loaded_while_the_service_stops_changes_nothing() -> None:
    async def scene() -> None:
        embedder = Embedder(lambda: cast(EmbeddingModel, StandIn()), **LIMITS)
        embedder.start()
        embedder.drain()
        await embedder.settled()
        assert embedder.state is State.DRAINING
        await embedder.stop()

    asyncio.run(scene())


def test_a_model_is_loaded_once_however_often_it_is_started() -> None:
    async def scene(embedder: Embedder, _: StandIn) -> None:
        loaded = embedder.loaded
        embedder.start()
        await embedder.settled()
        assert embedder.loaded is loaded

    run(scene)


def test_one_text_that_breaks_the_engine_costs_its_batch_nothing() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.poison = [1]
        poison, good = await asyncio.gather(
            *(embed_text(embedder, text) for text in ("a", "bb")), return_exceptions=True
        )
        assert isinstance(poison, RuntimeError)
        assert not isinstance(good, BaseException)
        assert embedder.state is State.HEALTHY

    run(scene)


def test_what_was_computed_once_is_not_computed_again() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        for _ in range(3):
            await embed_text(embedder, "four")
        assert (await embedder.embed_list(of_lengths(4, 5), NIGHT_JOB)).tolist() == [[4], [5]]
        assert model.batches_seen == [[(4,)], [(5,)]]
        remembered, unknown = (embedder.recall(tokens) for tokens in of_lengths(4, 6))
        assert (remembered.tolist() if remembered is not None else None, unknown) == ([4], None)

    run(scene)


def test_a_healthy_service_does_not_test_itself() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        embedder.look_again()
        await until(lambda: not embedder.busy)
        assert model.tested == 0

    run(scene)


def test_work_beyond_the_queue_is_refused_at_once() -> None:
    release = threading.Event()

    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = lambda: _wait_for(release)
        waiting = [asyncio.create_task(embed_text(embedder, "a"))]
        await until(lambda: model.begun == 1)
        waiting += [asyncio.create_task(embed_text(embedder, text)) for text in ("bb", "ccc")]
        await until(lambda: embedder.waiting == 2)
        with pytest.raises(Overloaded):
            await embed_text(embedder, "dddd")
        assert embedder.state is State.HEALTHY
        release.set()
        assert len(await asyncio.gather(*waiting)) == 3

    run(scene)


def test_a_full_queue_of_texts_never_refuses_a_picture() -> None:
    release = threading.Event()

    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = lambda: _wait_for(release)
        waiting = [asyncio.create_task(embed_text(embedder, "a"))]
        await until(lambda: model.begun == 1)
        waiting += [asyncio.create_task(embed_text(embedder, text)) for text in ("bb", "ccc")]
        await until(lambda: embedder.waiting == 2)
        assert (await embedder.embed_picture(PIXELS, SEARCH)).tolist() == [1]
        release.set()
        await asyncio.gather(*waiting)

    run(scene)


def test_a_request_ends_at_its_deadline() -> None:
    release = threading.Event()

    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = lambda: _wait_for(release)
        with pytest.raises(DeadlineExceeded):
            await embed_text(embedder, "a")
        release.set()

    run(scene, timeout_s=0.05)


def _fail() -> None:
    raise RuntimeError("the engine broke")


def _wait_for(event: threading.Event) -> None:
    event.wait(10)
