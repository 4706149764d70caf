"""What the page needs of a collection, wherever that is searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.embeddings.engines import Vectors
from app.search.fields import Field


@dataclass(frozen=True)
class Wish:
    """Something to be near to, or with a negative weight far from: a text, an item's id, or a vector."""

    text: str | None = None
    item: str | None = None
    vector: Vectors | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Item:
    """An item of the index; of one that was found, the cosine between its vector and what was searched for."""

    id: str
    metadata: Mapping[str, Any]
    score: float | None = None


@dataclass(frozen=True)
class Found:
    """What was found, the nearest first, and how long the index took."""

    items: Sequence[Item]
    took_ms: float


@dataclass(frozen=True)
class About:
    """The index as it is now; `fields` are what filters can be made of."""

    count: int
    model: str
    pretrained: str
    space: str | None
    dimensions: int | None
    fields: Mapping[str, Field]


class Collection(Protocol):
    """A collection that can be searched.

    Every method raises a `ServiceError` where it can't: `NotReady` while no model is loaded or no service answers.
    """

    async def about(self) -> About:
        """What it is."""

    async def search(self, wishes: Sequence[Wish], where: Mapping[str, Any], k: int, offset: int = 0) -> Found:
        """The items nearest to a mix of wishes.

        Args:
            wishes: items among them aren't found themselves.
            where: a filter, in the form that `/search` takes.
            k: how many, at most.
            offset: how many of the nearest are passed over.
        """

    async def item(self, item: str) -> Item:
        """The item with an id.

        Raises:
            ItemNotFound: there is none.
        """

    async def some(self, limit: int) -> Sequence[Item]:
        """A few items, to look at."""

    async def vector_of(self, picture: bytes) -> Vectors:
        """The vector of a picture.

        Raises:
            ImageError: it can't be used.
        """

    async def close(self) -> None:
        """Let go of connections."""
