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

PIXELS = np.zeros((2, 2, 3), np.uint8)


class StandIn:
    """A model that does what a test tells it to."""

    dimensions = 1

    def __init__(self) -> None:
        self.work: Callable[[], None] = lambda: None
        self.batches_seen: list[list[tuple[int, ...]]] = []
        self.tested = 0
        self.number = 1.0

    def tokenize(self, text: str) -> Tokens:
        return Tokens([len(text)], truncated=False)

    def batches(self, rows: list[Any]) -> list[list[int]]:
        return [[*range(start, min(start + 2, len(rows)))] for start in range(0, len(rows), 2)]

    def embed_tokens(self, rows: list[list[int]]) -> Any:
        self.work()
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
        embedder = Embedder(lambda: cast(EmbeddingModel, model), **{"max_queue": 2, "timeout_s": 5} | options)
        embedder.start()
        await until(lambda: embedder.state is State.HEALTHY)
        await test(embedder, model)
        await embedder.stop()

    asyncio.run(scene())


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something is so; a test that waits in vain is ended here."""
    for _ in range(1_000_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be so")


def test_a_text_and_a_picture_are_embedded() -> None:
    async def scene(embedder: Embedder, _: StandIn) -> None:
        vector, tokens = await embedder.embed_text("four")
        assert (vector.tolist(), tokens.ids) == ([4], [4])
        assert (await embedder.embed_picture(PIXELS)).tolist() == [1]

    run(scene)


def of_lengths(*lengths: int) -> list[Tokens]:
    return [Tokens([length], truncated=False) for length in lengths]


def test_a_list_of_texts_is_embedded_in_its_order_batch_by_batch() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        assert await embedder.tokenize(["a", "bcd"]) == of_lengths(1, 3)
        assert (await embedder.embed_tokens(of_lengths(5, 3, 4))).tolist() == [[5], [3], [4]]
        assert sorted(model.batches_seen) == [[(4,)], [(5,), (3,)]]

    run(scene)


def test_equal_texts_of_a_list_are_computed_once() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        assert (await embedder.embed_tokens(of_lengths(7, 8, 7, 7))).tolist() == [[7], [8], [7], [7]]
        assert model.batches_seen == [[(7,), (8,)]]

    run(scene)


def test_a_list_of_none_is_a_list_of_none() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        assert (await embedder.embed_tokens([])).shape == (0, 1)
        assert model.batches_seen == []

    run(scene)


def test_a_list_waits_outside_the_queue_and_keeps_nobody_out() -> None:
    release = threading.Event()

    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = lambda: _wait_for(release)
        a_list = asyncio.create_task(embedder.embed_tokens(of_lengths(*range(20))))
        await until(lambda: embedder.waiting == 1)  # one batch is computed, the next waits ready
        single = asyncio.create_task(embedder.embed_text("four"))
        await until(lambda: embedder.waiting == 2)
        release.set()
        await asyncio.gather(a_list, single)
        # Two batches of the list were before it, no more.
        assert model.batches_seen[2] == [(4,)]

    run(scene)


def test_a_list_of_pictures_waits_outside_the_queue_too() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        pictures = [embedder.embed_picture(PIXELS, of_list=True) for _ in range(20)]
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
            await embedder.embed_tokens(of_lengths(*range(20)))
        assert embedder.state is State.UNHEALTHY
        assert len(calls) <= 2

    run(scene)


def test_while_the_model_loads_nothing_else_waits_and_work_is_refused() -> None:
    loaded = threading.Event()

    def load() -> EmbeddingModel:
        loaded.wait(10)
        return cast(EmbeddingModel, StandIn())

    async def scene() -> None:
        embedder = Embedder(load, max_queue=1, timeout_s=5)
        embedder.start()
        assert embedder.state is State.LOADING
        with pytest.raises(NotReady):
            await embedder.embed_text("a")
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
        embedder = Embedder(load, max_queue=1, timeout_s=5)
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
            await embedder.embed_text("a")
        states = [embedder.state]
        model.work = lambda: None
        await embedder.embed_text("a")
        assert [*states, embedder.state] == [State.UNHEALTHY, State.HEALTHY]

    run(scene)


def test_a_vector_that_is_none_is_never_given_out() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.number = float("nan")
        with pytest.raises(ArithmeticError):
            await embedder.embed_picture(PIXELS)
        assert embedder.state is State.UNHEALTHY

    run(scene)


def test_a_broken_service_tests_itself_when_it_is_asked_for_its_health() -> None:
    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = _fail
        with pytest.raises(RuntimeError):
            await embedder.embed_text("a")
        embedder.look_again()
        embedder.look_again()  # one test at a time
        await until(lambda: not embedder.busy)
        assert (embedder.state, model.tested) == (State.UNHEALTHY, 1)
        model.work = lambda: None
        embedder.look_again()
        await until(lambda: embedder.state is State.HEALTHY)

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
        waiting = [asyncio.create_task(embedder.embed_text("a")) for _ in range(3)]  # one computed, two queued
        await until(lambda: embedder.waiting == 2)
        with pytest.raises(Overloaded):
            await embedder.embed_text("a")
        assert embedder.state is State.HEALTHY
        release.set()
        assert len(await asyncio.gather(*waiting)) == 3

    run(scene)


def test_a_full_queue_of_texts_never_refuses_a_picture() -> None:
    release = threading.Event()

    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = lambda: _wait_for(release)
        waiting = [asyncio.create_task(embedder.embed_text("a")) for _ in range(3)]
        await until(lambda: embedder.waiting == 2)
        assert (await embedder.embed_picture(PIXELS)).tolist() == [1]
        release.set()
        await asyncio.gather(*waiting)

    run(scene)


def test_a_request_ends_at_its_deadline() -> None:
    release = threading.Event()

    async def scene(embedder: Embedder, model: StandIn) -> None:
        model.work = lambda: _wait_for(release)
        with pytest.raises(DeadlineExceeded):
            await embedder.embed_text("a")
        release.set()

    run(scene, timeout_s=0.05)


def test_a_service_that_stops_takes_nothing_more() -> None:
    async def scene(embedder: Embedder, _: StandIn) -> None:
        await embedder.stop()
        assert embedder.state is State.DRAINING
        with pytest.raises(NotReady):
            await embedder.embed_text("a")

    run(scene)


def _fail() -> None:
    raise RuntimeError("the engine broke")


def _wait_for(event: threading.Event) -> None:
    event.wait(10)
