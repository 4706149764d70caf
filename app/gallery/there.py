"""The collection of a service somewhere else, asked by its Python client."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from app.embeddings.engines import Vectors
from app.errors import (
    DeadlineExceeded,
    DecodeTimeout,
    ImageCorrupt,
    ImageTooManyPixels,
    IndexUnavailable,
    InvalidRequest,
    ItemNotFound,
    NotAnImage,
    NotReady,
    Overloaded,
    ServiceError,
    SpaceMismatch,
    TooLarge,
    UnsupportedFormat,
)
from app.gallery.collection import About, Found, Item, Wish
from app.search.fields import Common, Field
from tate_embeddings_client import AsyncClient, EmbeddingsError, Query, SpaceChanged
from tate_embeddings_client import ServiceError as Refusal

logger = logging.getLogger(__name__)

# What visitors can do something about, or want to know.
KINDS: dict[str, type[ServiceError]] = {
    kind.code: kind
    for kind in (
        DeadlineExceeded, DecodeTimeout, ImageCorrupt, ImageTooManyPixels, IndexUnavailable, InvalidRequest,
        ItemNotFound, NotAnImage, NotReady, Overloaded, SpaceMismatch, TooLarge, UnsupportedFormat,
    )
}  # fmt: skip


class There:
    """A collection behind the API. A service that is given another model goes on being asked, by another client."""

    def __init__(self, make_client: Callable[[], AsyncClient]) -> None:
        self._make_client = make_client
        self._client = make_client()

    async def about(self) -> About:
        async with self._asking() as client:
            index = await client.index()
        fields = {
            name: Field(
                tuple(Common(each.value, each.count) for each in field.values),
                field.distinct,
                field.lowest,
                field.highest,
            )
            for name, field in index.fields.items()
        }
        return About(index.count, index.model, index.pretrained, index.space, index.dimensions, fields)

    async def search(self, wishes: Sequence[Wish], where: Mapping[str, Any], k: int, offset: int = 0) -> Found:
        queries = [
            Query(
                text=wish.text,
                id=wish.item,
                embedding=None if wish.vector is None else wish.vector.tolist(),
                weight=wish.weight,
            )
            for wish in wishes
        ]
        async with self._asking() as client:
            found = await client.search(queries, k=k, offset=offset, filter=where or None)
        return Found([Item(hit.id, hit.metadata, hit.score) for hit in found.results], found.took_ms)

    async def item(self, item: str) -> Item:
        async with self._asking() as client:
            found = await client.item(item)
        return Item(found.id, found.metadata)

    async def some(self, limit: int) -> Sequence[Item]:
        async with self._asking() as client:
            return [Item(found.id, found.metadata) for found in await client.items(limit)]

    async def vector_of(self, picture: bytes) -> Vectors:
        async with self._asking() as client:
            return np.array((await client.embed_image(picture)).vector, np.float32)

    async def ready(self) -> bool:
        """Whether the service takes work."""
        try:
            return (await self._client.health()).status == "healthy"
        except EmbeddingsError:
            return False

    async def close(self) -> None:
        await self._client.close()

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[AsyncClient]:
        """Ask the service by this client; what fails there has failed here."""
        client = self._client
        try:
            yield client
        except Refusal as error:
            if error.code not in KINDS:  # it doesn't know the token, or is something else
                logger.warning("the service at VECTOR_API_URL refuses: %s", error)
                raise NotReady("The service doesn't do what it is asked.") from error
            raise KINDS[error.code](error.detail) from None
        except SpaceChanged as error:
            if client is self._client:  # who has asked at the same time may have found out before
                self._client = self._make_client()
                await client.close()
            raise NotReady("The service has another model now.") from error
        except EmbeddingsError as error:
            raise NotReady("The service doesn't answer.") from error
