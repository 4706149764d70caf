"""Batches of pictures under way to the service, while the thread that owns the database goes on."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Self

from tate_embeddings_client import AsyncClient, EmbeddingsError, Failure, ImageEmbedding, ServiceError, Timeout

Result = ImageEmbedding | Failure

# How long to leave a service alone that is overloaded or away.
PAUSE_S = 2.0
# Statuses that may be about a single picture: of it alone the service, or what stands before it, says the same.
OF_ONE = {413, 500}


class Flight:
    """Sends batches, several at once, from an event loop in a thread of its own, which ends with the block.

    A service that is away or overloaded is waited for, up to `patience_s` since it was last heard of.
    """

    def __init__(self, client: AsyncClient, patience_s: float) -> None:
        self._client = client
        self._patience_s = patience_s
        self._heard_at = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(self, images: Sequence[str | bytes]) -> "Future[list[Result]]":
        """Send a batch; a result for each picture is what comes of it."""
        return asyncio.run_coroutine_threadsafe(self._patiently(images), self._loop)

    async def _patiently(self, images: Sequence[str | bytes]) -> list[Result]:
        began_at = time.monotonic()
        while True:
            try:
                return await self._embedded(images)
            except EmbeddingsError as error:
                away_s = time.monotonic() - max(began_at, self._heard_at)
                # A call that took all of its time has been patient itself.
                if not error.retryable or isinstance(error, Timeout) or away_s + PAUSE_S > self._patience_s:
                    raise
            await asyncio.sleep(PAUSE_S)

    async def _embedded(self, images: Sequence[str | bytes]) -> list[Result]:
        try:
            results = await self._client.embed_images(images)
        except ServiceError as error:
            if error.status not in OF_ONE:
                raise
            if len(images) == 1:
                return [Failure(index=0, code=error.code, detail=error.detail, url=None, retryable=error.retryable)]
            half = len(images) // 2
            return await self._embedded(images[:half]) + await self._embedded(images[half:])
        self._heard_at = time.monotonic()
        return results

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.close()
