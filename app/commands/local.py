"""Embedding in this process, with the parts that the service is made of, and without HTTP."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Self

from anyio.to_thread import run_sync

from app import __version__
from app.commands.items import Item, read
from app.commands.outcomes import Embedded, Failed, Outcome
from app.config import Settings
from app.embeddings import EmbeddingModel
from app.errors import Internal, ServiceError
from app.images.budget import ByteBudget
from app.images.decoders import Decoders
from app.images.fetch import MAX_CONNECTIONS, Fetcher
from app.resources import cores
from app.serving import Embedder, Pictures

logger = logging.getLogger(__name__)

# Images that are read, fetched, decoded or embedded at once, and therefore in memory.
WINDOW = 16
# There is nobody else to wait for.
URGENCY = 0


class LocalModel:
    """The model that the settings name, for use in a `with`.

    Its methods block, between two of them nothing runs: Ctrl-C while somebody types texts ends the command at once.

    Raises:
        ModelUnavailable: it can't be had; the message says what to do.
    """

    def __init__(self, settings: Settings) -> None:
        self._model = EmbeddingModel(settings.model_name, settings.pretrained, settings=settings)
        self._max_bytes = settings.max_image_bytes
        timeout_s = settings.request_timeout_s
        limits = {"max_queue": settings.max_queue_items, "cache_items": settings.cache_items}
        self._embedder = Embedder(
            lambda: self._model, timeout_s=timeout_s, inference_timeout_s=settings.inference_timeout_s, **limits
        )
        self._embedder.adopt(self._model)
        self._fetcher = Fetcher(settings, user_agent=f"tate-embeddings/{__version__}")
        self._decoders = Decoders(settings, cores())
        self._decoding = False
        budget = ByteBudget(WINDOW * self._max_bytes)
        self._pictures = Pictures(self._embedder, self._fetcher, self._decoders, budget, timeout_s=timeout_s, **limits)

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        # Names are looked up in these threads, and one whose name server is silent keeps its thread for long.
        self._runner.get_loop().set_default_executor(ThreadPoolExecutor(MAX_CONNECTIONS, "look-up"))
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner:
            self._runner.run(self._close())

    def texts(self, texts: Sequence[str]) -> Sequence[Outcome]:
        return self._runner.run(self._texts(texts))

    def images(self, images: Sequence[Item]) -> Sequence[Outcome]:
        return self._runner.run(self._images(images))

    async def _texts(self, texts: Sequence[str]) -> Sequence[Outcome]:
        try:
            tokens = await self._embedder.tokenize(texts)
            vectors = await self._embedder.embed_list(tokens, URGENCY)
        except ServiceError as error:
            return [Failed.by(error)] * len(texts)
        except Exception:
            logger.exception("a defect")
            return [Failed.by(Internal())] * len(texts)
        return [
            Embedded(vector, self._model.space, {"truncated": each.truncated})
            for vector, each in zip(vectors, tokens, strict=True)
        ]

    def each_image(self, images: Iterable[Item]) -> Iterator[Mapping[int, Outcome]]:
        """What becomes of images, by their places and as soon as it is known: some are always on their way."""
        waiting = enumerate(images)
        on_their_way: dict[asyncio.Task[Outcome], int] = {}

        async def some() -> Mapping[int, Outcome]:
            self._start_decoders()
            for place, image in islice(waiting, WINDOW - len(on_their_way)):
                on_their_way[asyncio.create_task(self._image(image))] = place
            if not on_their_way:
                return {}
            done, _ = await asyncio.wait(on_their_way, return_when=asyncio.FIRST_COMPLETED)
            return {on_their_way.pop(task): task.result() for task in done}

        while outcomes := self._runner.run(some()):
            yield outcomes

    def _start_decoders(self) -> None:
        if not self._decoding:
            self._decoders.start()
            self._decoding = True

    async def _images(self, images: Sequence[Item]) -> Sequence[Outcome]:
        self._start_decoders()
        window = asyncio.Semaphore(WINDOW)

        async def embed(item: Item) -> Outcome:
            async with window:
                return await self._image(item)

        return await asyncio.gather(*(embed(item) for item in images))

    async def _image(self, item: Item) -> Outcome:
        try:
            source = item.name if item.kind == "url" else await run_sync(read, item.name, self._max_bytes)
        except ServiceError as error:
            return Failed.by(error)
        (seen,) = await self._pictures.embed_list([source], URGENCY)
        if isinstance(seen, ServiceError):
            return Failed.by(seen)
        about = {"sha256": seen.sha256, "width": seen.width, "height": seen.height}
        return Embedded(seen.vector, self._model.space, about)

    async def _close(self) -> None:
        await self._embedder.stop()
        if self._decoding:
            await self._decoders.close()
        await self._fetcher.close()
