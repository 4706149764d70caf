"""One model in one worker: loaded off the event loop, asked in lanes, watched by what its last inference did."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import anyio
import numpy as np
from anyio.to_thread import run_sync

from app.embeddings import EmbeddingModel
from app.embeddings.engines import Pixels, Vectors
from app.embeddings.tokenizer import Tokens
from app.errors import DeadlineExceeded, NotReady, Overloaded, StartError
from app.telemetry.timings import measured

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# One piece of a list's work is computed, the next waits ready: a single request never waits for more of them.
PLACES_OF_LISTS = 2


class State(StrEnum):
    """What `/health` says."""

    LOADING = "loading"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"


class Embedder:
    """Takes requests for vectors. Texts and pictures queue apart, so that neither waits for the other's queue."""

    def __init__(self, load: Callable[[], EmbeddingModel], *, max_queue: int, timeout_s: float) -> None:
        self.state = State.LOADING
        self._load = load
        self.loaded: EmbeddingModel | None = None
        self._timeout_s = timeout_s
        self._texts = _Lane(max_queue)
        self._pictures = _Lane(max_queue)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to load the model; returns at once."""
        self._in_background(self._load_model)

    async def stop(self) -> None:
        """Take nothing more."""
        self.state = State.DRAINING
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def model(self) -> EmbeddingModel:
        """The loaded model.

        Raises:
            NotReady: it isn't loaded yet, or the service is stopping.
        """
        if self.loaded is None or self.state is State.DRAINING:
            raise NotReady(f"The service is {self.state}; try again soon.")
        return self.loaded

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return self._texts.waiting + self._pictures.waiting

    @property
    def busy(self) -> bool:
        """Whether the model is being loaded or tested."""
        return bool(self._tasks)

    async def embed_text(self, text: str) -> tuple[Vectors, Tokens]:
        """A text's unit vector, and the text as the model read it."""
        model = self.model
        tokens = await run_sync(model.tokenize, text)
        return await self._ask(self._texts.run(lambda: _sound(model.embed_tokens([tokens.ids])[0]))), tokens

    async def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Texts as the model reads them."""
        tokenize = self.model.tokenize
        return await run_sync(lambda: [tokenize(text) for text in texts])

    async def embed_tokens(self, texts: Sequence[Tokens]) -> Vectors:
        """Unit vectors of a list of tokenised texts, a row each. Equal texts are computed once."""
        model = self.model
        places: dict[tuple[int, ...], int] = {}
        rows = [places.setdefault(tuple(tokens.ids), len(places)) for tokens in texts]
        distinct = [*places]
        vectors = np.empty((len(distinct), model.dimensions), np.float32)

        async def embed(batch: list[int]) -> None:
            chosen = [distinct[index] for index in batch]
            vectors[batch] = await self._texts.run_of_list(lambda: _sound(model.embed_tokens(chosen)))

        await self._ask(gathered(embed(batch) for batch in model.batches(distinct)))
        return vectors[rows]

    async def embed_picture(self, pixels: Pixels, *, of_list: bool = False) -> Vectors:
        """A picture's unit vector. One of a list waits outside the queue, where it can't keep others out."""
        model = self.model
        run = self._pictures.run_of_list if of_list else self._pictures.run
        return await self._ask(run(lambda: _sound(model.embed_pixels([pixels])[0])))

    def look_again(self) -> None:
        """If inference has broken, try whether it works again, in the background."""
        if self.state is State.UNHEALTHY and not self.busy:
            self._in_background(self._load_model if self.loaded is None else self._test)

    async def _ask(self, answer: Awaitable[Result]) -> Result:
        with anyio.move_on_after(self._timeout_s):
            try:
                result = await answer
            except Overloaded:
                raise
            except Exception:
                self.state = State.UNHEALTHY
                raise
            if self.state is State.UNHEALTHY:
                self.state = State.HEALTHY
            return result
        raise DeadlineExceeded(f"No vector within {self._timeout_s:g} seconds.")

    async def _load_model(self) -> None:
        try:
            self.loaded = await run_sync(self._load, abandon_on_cancel=True)
        except StartError as error:
            logger.critical("%s", error)
            self.state = State.UNHEALTHY
        except Exception:
            logger.exception("the model could not be loaded")
            self.state = State.UNHEALTHY
        else:
            self.state = State.HEALTHY

    async def _test(self) -> None:
        assert self.loaded is not None
        try:
            await run_sync(self.loaded.self_test, abandon_on_cancel=True)
        except Exception:
            logger.exception("inference is still broken")
        else:
            self.state = State.HEALTHY

    def _in_background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def gathered(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it at once; the first failure ends the rest, and is raised."""
    tasks = [asyncio.create_task(piece) for piece in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _sound(vectors: Vectors) -> Vectors:
    """The vectors, unless an engine that broke since its self-test gave none."""
    if not np.isfinite(vectors).all():
        raise ArithmeticError("the engine gave numbers that aren't any")
    return vectors


class _Lane:
    """Runs work in a thread, one piece at a time, and bounds what waits for it."""

    def __init__(self, max_queue: int) -> None:
        self._max_queue = max_queue
        self._limiter = anyio.CapacityLimiter(1)
        self._lists = anyio.Semaphore(PLACES_OF_LISTS)

    @property
    def waiting(self) -> int:
        return self._limiter.statistics().tasks_waiting

    async def run(self, work: Callable[[], Result]) -> Result:
        if self.waiting >= self._max_queue:
            raise Overloaded("Too many requests are waiting; try again soon.")
        return await self._in_turn(work)

    async def run_of_list(self, work: Callable[[], Result]) -> Result:
        """Run one of many pieces of work: all lists together take few places in the queue, and none is refused."""
        async with self._lists:
            return await self._in_turn(work)

    async def _in_turn(self, work: Callable[[], Result]) -> Result:
        with measured("queue"):
            await self._limiter.acquire()
        try:
            with measured("infer"):
                return await run_sync(work, abandon_on_cancel=True)
        finally:
            self._limiter.release()
