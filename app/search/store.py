"""What an index is to those who use it, whatever keeps it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from app.embeddings.engines import Vectors
from app.errors import SpaceMismatch
from app.search.fields import Field
from app.search.filters import Filter

# The best so many of an index can be asked for, from the first on: what every kind of store can give.
DEEPEST = 10_000
# As Elasticsearch has it.
MAX_ID_BYTES = 512


@dataclass(frozen=True)
class Item:
    """What is kept: a unit vector under an id, and what there is to say of it.

    `digest` stands for all of it, for a writer who wants to know later whether it has changed.
    """

    id: str
    vector: Vectors
    metadata: Mapping[str, Any]
    digest: str = ""


@dataclass(frozen=True)
class Found:
    """An item, and the cosine between its vector and what was asked for."""

    id: str
    score: float
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class About:
    """An index as it is now. It has no space until the first item is put in; `details` are for people."""

    space: str | None
    dimensions: int | None
    count: int
    details: Mapping[str, str] = field(default_factory=dict)


class Store(Protocol):
    """An index. Methods block and may be called from several threads at once.

    Every method that reaches out raises `IndexUnavailable` where what keeps the index doesn't answer.
    """

    kind: ClassVar[str]

    def about(self) -> About:
        """What the index is now."""

    def upsert(self, items: Sequence[Item], space: str) -> None:
        """Put items in, each in the place of what had its id. They can be found by everybody within two seconds.

        Args:
            items: of distinct ids.
            space: that of their vectors, which becomes the index's if it has none.

        Raises:
            SpaceMismatch: the index is of another, or its vectors are of another length; nothing was put in.
        """

    def delete(self, ids: Sequence[str]) -> int:
        """Take items out; how many there were."""

    def search(self, vector: Vectors, limit: int, where: Filter, space: str) -> list[Found]:
        """The items nearest to a unit vector, the nearest first; of an index without items none.

        Args:
            vector: what they are to be near to.
            limit: how many, up to `DEEPEST`.
            where: what must be so of their metadata.
            space: that of the vector.

        Raises:
            SpaceMismatch: the index is of another, or its vectors are of another length.
        """

    def vectors(self, ids: Sequence[str], space: str) -> dict[str, Vectors]:
        """The vectors of those ids that are there.

        Raises:
            SpaceMismatch: the index is of another space.
        """

    def metadata_of(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The metadata of those ids that are there."""

    def has_field(self, name: str) -> bool:
        """Whether any item's metadata has such a field that a filter can look at."""

    def fields(self) -> dict[str, Field]:
        """The fields that filters can look at, by name: up to `MOST_FIELDS`. This may take seconds of a large index."""

    def digests(self) -> dict[str, str]:
        """The digest of every item, by id."""

    def items(self) -> Iterator[Item]:
        """Every item, in no order."""

    def settle(self) -> None:
        """Make what was put in fast to search: for the end of a large change. Searches are right without it."""

    def anew(self) -> "AbstractContextManager[Store]":
        """An empty index for any space, which takes this one's place at once when the block ends well.

        Until then this one is searched, and writers who come to it wait or get `IndexUnavailable`.
        """

    def close(self) -> None:
        """Let go of connections and files."""


def is_id(value: Any) -> bool:
    """Whether an item can be kept under this everywhere."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return False
    try:
        return len(value.encode()) <= MAX_ID_BYTES
    except UnicodeEncodeError:
        return False


def storable(value: Any) -> Any:
    """JSON as every store can keep it: what UTF-8, PostgreSQL or 64 bits can't hold is replaced, as is what is NaN."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode(errors="surrogatepass").decode(errors="replace")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1023 else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {storable(str(name)): storable(each) for name, each in value.items()}
    return [*map(storable, value)] if isinstance(value, list) else value


def check_space(about: About, space: str, dimensions: int) -> None:
    """See whether vectors belong to an index.

    Raises:
        SpaceMismatch: they don't.
    """
    if about.space is not None and about.space != space:
        raise SpaceMismatch(f"The index is of space '{about.space}', the vectors are of '{space}'.")
    if about.dimensions is not None and about.dimensions != dimensions:
        raise SpaceMismatch(f"The index has vectors of {about.dimensions} numbers, not of {dimensions}.")
