"""One model in one worker: loaded off the event loop, asked in lanes, watched by what its last inference did."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
from anyio.to_thread import run_sync

from app.embeddings import EmbeddingModel
from app.embeddings.engines import Pixels, Vectors
from app.embeddings.tokenizer import Tokens
from app.errors import DeadlineExceeded, NotReady, StartError
from app.serving.cache import Cache
from app.serving.scheduler import Batching, Scheduler

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Up to so many characters a text is tokenised where it is: going to a thread and back takes longer.
SHORT_TEXT = 500
# Beyond so many texts of its own kind in one batch little is gained.
TEXTS_AT_ONCE = 32
# Whoever waits at a search box isn't there any more after two seconds: better to be refused at once.
LONGEST_WAIT_OF_A_TEXT_S = 1.0


class State(StrEnum):
    """What `/health` says."""

    LOADING = "loading"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"


class Embedder:
    """Takes requests for vectors. Texts and pictures queue apart, so that neither waits for the other's queue.

    `urgency` is 0 to 7, smaller numbers first.
    """

    def __init__(
        self,
        load: Callable[[], EmbeddingModel],
        *,
        max_queue: int,
        timeout_s: float,
        inference_timeout_s: float,
        cache_items: int,
    ) -> None:
        self.state = State.LOADING
        # A thread that computes has not come back within its time: nothing but the end of the process helps.
        self.hung = False
        self._load = load
        self.loaded: EmbeddingModel | None = None
        self._inference_timeout_s = inference_timeout_s
        self._max_queue = max_queue
        self._timeout_s = timeout_s
        self._vectors: Cache[Vectors] = Cache(cache_items, kind="text")
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to load the model, unless that has been done; returns at once."""
        if self.loaded is None and not self.busy:
            self._in_background(self._load_model)

    async def settled(self) -> None:
        """Wait until the model is loaded, or could not be."""
        await asyncio.gather(*self._tasks)

    def adopt(self, model: EmbeddingModel) -> None:
        """Take a model that is loaded already."""
        engine = model.engine
        texts = Batching[Sequence[int]](engine.streams, TEXTS_AT_ONCE, engine.tokens, model.length)
        pictures = Batching[Pixels](engine.streams, engine.pictures, engine.pictures)
        self._texts = Scheduler(
            self._compute_texts,
            texts,
            queue="texts",
            most_waiting=self._max_queue,
            longest_wait_s=LONGEST_WAIT_OF_A_TEXT_S,
        )
        self._pictures = Scheduler(self._compute_pictures, pictures, queue="pictures", most_waiting=self._max_queue)
        self.loaded = model
        if self.state is not State.DRAINING:
            self.state = State.HEALTHY

    def drain(self) -> None:
        """Take nothing new; what was asked before is finished."""
        self.state = State.DRAINING

    def check_open(self) -> None:
        """See whether new work is taken.

        Raises:
            NotReady: the service is stopping.
        """
        if self.state is State.DRAINING:
            raise NotReady("The service is stopping; another may take this request.")

    async def stop(self) -> None:
        """Give up loading, if the model isn't loaded yet."""
        self.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def model(self) -> EmbeddingModel:
        """The loaded model.

        Raises:
            NotReady: it isn't loaded yet, or it hangs.
        """
        if self.loaded is None or self.hung:
            raise NotReady(f"The service is {self.state}; try again soon.")
        return self.loaded

    @property
    def waiting(self) -> int:
        """How many texts and pictures wait for their turn."""
        return self._texts.waiting + self._pictures.waiting

    @property
    def busy(self) -> bool:
        """Whether the model is being loaded or tested."""
        return bool(self._tasks)

    def check_room(self) -> None:
        """See whether a text would be taken now, if there is a model for it.

        Raises:
            Overloaded: too many wait already.
        """
        if self.loaded is not None:
            self._texts.check_room()

    async def tokenize_one(self, text: str) -> Tokens:
        """A text as the model reads it."""
        tokenize = self.model.tokenize
        return tokenize(text) if len(text) <= SHORT_TEXT else await run_sync(tokenize, text)

    def recall(self, tokens: Tokens) -> Vectors | None:
        """A tokenised text's unit vector, if it is remembered: nothing has to be waited for."""
        return self._vectors.recall(_key(self.model, tokens.ids))

    async def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """Texts as the model reads them."""
        tokenize = self.model.tokenize
        return await run_sync(lambda: [tokenize(text) for text in texts])

    async def embed_tokens(self, tokens: Tokens, urgency: int) -> Vectors:
        """A tokenised text's unit vector."""
        key = _key(self.model, tokens.ids)
        async with self.deadline():
            return await self._vectors.get(key, urgency, partial(self._texts.submit, tokens.ids, urgency))

    async def embed_list(self, texts: Sequence[Tokens], urgency: int) -> Vectors:
        """Unit vectors of a list of tokenised texts, a row each. Equal texts are computed once."""
        model = self.model
        places: dict[tuple[int, ...], int] = {}
        rows = [places.setdefault(tuple(tokens.ids), len(places)) for tokens in texts]
        vectors = np.empty((len(places), model.dimensions), np.float32)

        async def embed(ids: Sequence[int], place: int) -> None:
            compute = partial(self._texts.submit_of_list, ids, urgency)
            vectors[place] = await self._vectors.get(_key(model, ids), urgency, compute)

        # Texts of like length one after the other: they wait together, and are computed together.
        in_order = sorted(places.items(), key=lambda item: len(item[0]))
        async with self.deadline():
            await gathered(embed(ids, place) for ids, place in in_order)
        return vectors[rows]

    async def embed_picture(self, pixels: Pixels, urgency: int, *, of_list: bool = False) -> Vectors:
        """A picture's unit vector. One of a list waits outside the queue, where it can't keep others out."""
        assert self.model
        submit = self._pictures.submit_of_list if of_list else self._pictures.submit
        return await submit(pixels, urgency)

    def look_again(self) -> None:
        """If inference has broken, try whether it works again, in the background."""
        if self.state is State.UNHEALTHY and not self.busy and not self.hung:
            self._in_background(self._load_model if self.loaded is None else self._test)

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """What takes longer than a request may is cancelled.

        Raises:
            DeadlineExceeded: it was.
        """
        try:
            async with asyncio.timeout(self._timeout_s) as timeout:
                yield
        except TimeoutError:
            if not timeout.expired():
                raise
            raise DeadlineExceeded(f"No answer within {self._timeout_s:g} seconds.") from None

    async def _compute_texts(self, rows: list[Sequence[int]]) -> list[Vectors]:
        model = self.model
        return await self._infer(lambda: model.embed_tokens(rows))

    async def _compute_pictures(self, pictures: list[Pixels]) -> list[Vectors]:
        model = self.model
        return await self._infer(lambda: model.embed_pixels(pictures))

    async def _infer(self, compute: Callable[[], Vectors]) -> list[Vectors]:
        """Compute in a thread; each vector has memory of its own.

        Health follows the last inference: one that fails breaks it, one that works mends it.
        """
        try:
            vectors = _sound(await self._in_time(compute))
        except Exception:
            if self.state is State.HEALTHY:
                self.state = State.UNHEALTHY
            raise
        if self.state is State.UNHEALTHY:
            self.state = State.HEALTHY
        return [vector.copy() for vector in vectors]

    async def _in_time(self, compute: Callable[[], Result]) -> Result:
        """Compute in a thread that comes back within the time that one batch may take.

        Raises:
            NotReady: it didn't, or another one hasn't.
        """
        if not self.hung:
            try:
                async with asyncio.timeout(self._inference_timeout_s) as timeout:
                    return await run_sync(compute, abandon_on_cancel=True)
            except TimeoutError:
                if not timeout.expired():
                    raise
                logger.critical("the engine hangs: no vectors within %g seconds", self._inference_timeout_s)
                self.hung = True
        raise NotReady("The model has stopped working; try again soon.")

    async def _load_model(self) -> None:
        try:
            self.adopt(await run_sync(self._load, abandon_on_cancel=True))
        except StartError as error:
            logger.critical("%s", error)
            self.state = State.UNHEALTHY
        except Exception:
            logger.exception("the model could not be loaded")
            self.state = State.UNHEALTHY

    async def _test(self) -> None:
        """Test a model whose inference has failed; if it is still broken, load it anew."""
        assert self.loaded is not None
        try:
            await self._in_time(self.loaded.self_test)
        except NotReady:
            logger.exception("inference is broken")
        except Exception:
            logger.exception("inference is still broken; loading the model anew")
            self.loaded = None  # its memory is needed for the next
            await self._load_model()
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


def _key(model: EmbeddingModel, ids: Sequence[int]) -> bytes:
    """A digest over all that a text's vector depends on."""
    return sha256(f"text {model.space} {[*ids]}".encode()).digest()


def _sound(vectors: Vectors) -> Vectors:
    """The vectors, unless an engine that broke since its self-test gave none."""
    if not np.isfinite(vectors).all():
        raise ArithmeticError("the engine gave numbers that aren't any")
    return vectors
