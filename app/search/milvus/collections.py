"""Which collection an index is: the one that an alias of its name leads to, or one that is being filled to be that.

A collection tells of itself, in its properties, which space and how many dimensions its vectors are of.
"""

import time
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Protocol

from pymilvus import MilvusClient, MilvusException

from app.errors import IndexUnavailable
from app.search.milvus import rows
from app.search.milvus.connection import ANSWER_S, LONG_S

# What stands between an index's name, which has small letters only, and the rest of a collection's.
MARK = "_AT_"

SPACE, DIMENSIONS = "tate.space", "tate.dimensions"
# Until when nobody but whoever fills the next collection may change this one.
HELD_UNTIL = "tate.held_until"
# A killed process holds on for so long; one that lives says every now and then that it does.
HOLD_S = 300
RENEW_S = 30

# Collections that are gone, or are there but not loaded; in the codes of Milvus.
NOT_FOUND, NOT_LOADED = 100, 101


@dataclass(frozen=True)
class Collection:
    """A collection, which has been loaded."""

    name: str
    space: str
    dimensions: int


class Place(Protocol):
    """Where an index's collection is to be found."""

    def current(self, client: MilvusClient, /) -> Collection | None:
        """The collection; None if there is none yet."""

    def begun(self, client: MilvusClient, space: str, dimensions: int, *, is_lite: bool) -> Collection:
        """A collection, where there was none."""

    def check_open(self, client: MilvusClient) -> None:
        """See whether the collection may be changed.

        Raises:
            IndexUnavailable: another one is being filled to take its place.
        """

    def forget(self) -> None:
        """Take nothing for granted that was known of the collection."""


class Published:
    """The collection that everybody finds under the index's name."""

    def __init__(self, index: str) -> None:
        self._index = index
        self._known: Collection | None = None

    def current(self, client: MilvusClient, /) -> Collection | None:
        name = self._leads_to(client)
        if name is None:
            return None
        known = self._known
        if known is None or known.name != name:
            known = self._known = _loaded(client, name)
        return known

    def begun(self, client: MilvusClient, space: str, dimensions: int, *, is_lite: bool) -> Collection:
        made = _made(client, self.new_name(), space, dimensions, is_lite=is_lite)
        try:
            client.create_alias(made.name, self._index, timeout=ANSWER_S)
        except MilvusException:
            client.drop_collection(made.name, timeout=ANSWER_S)
            current = self.current(client)
            if current is None:
                raise
            return current  # somebody else was quicker
        return made

    def check_open(self, client: MilvusClient) -> None:
        name = self._leads_to(client)
        if name is not None and time.time() < float(_properties(client, name).get(HELD_UNTIL, 0)):
            raise IndexUnavailable("The index is being made anew; try again soon.")

    def forget(self) -> None:
        self._known = None

    def new_name(self) -> str:
        """A name for another collection of this index."""
        return f"{self._index}{MARK}{token_hex(8)}"

    def hold(self, client: MilvusClient) -> None:
        """Let nobody change the collection for a while."""
        self._hold_until(client, time.time() + HOLD_S)

    def release(self, client: MilvusClient) -> None:
        """Let everybody change the collection again."""
        self._hold_until(client, 0)

    def replace(self, client: MilvusClient, by: Collection | None) -> None:
        """Put another collection in the place of the current one, or none."""
        has_one = self._leads_to(client) is not None
        if by is not None:
            lead_to = client.alter_alias if has_one else client.create_alias
            lead_to(by.name, self._index, timeout=ANSWER_S)
        elif has_one:
            client.drop_alias(self._index, timeout=ANSWER_S)

    def drop_others(self, client: MilvusClient) -> None:
        """Drop what was replaced, and what was to replace it and didn't."""
        current = self._leads_to(client)
        for name in client.list_collections(timeout=ANSWER_S):
            if name.startswith(f"{self._index}{MARK}") and name != current:
                client.drop_collection(name, timeout=ANSWER_S)

    def _hold_until(self, client: MilvusClient, then: float) -> None:
        name = self._leads_to(client)
        if name is not None:
            client.alter_collection_properties(name, {HELD_UNTIL: str(then)}, timeout=ANSWER_S)

    def _leads_to(self, client: MilvusClient) -> str | None:
        # Asked first, as Milvus has more than one way to say that there is no such alias.
        if not client.has_collection(self._index, timeout=ANSWER_S):
            return None
        name: str = client.describe_alias(self._index, timeout=ANSWER_S)["collection_name"]
        return name


class Unfinished:
    """A collection under its own name, which is to take the place of the one that is published."""

    def __init__(self, published: Published) -> None:
        self.collection: Collection | None = None
        self._published = published
        self._held_at = 0.0

    def current(self, _: MilvusClient, /) -> Collection | None:
        return self.collection

    def begun(self, client: MilvusClient, space: str, dimensions: int, *, is_lite: bool) -> Collection:
        self.collection = _made(client, self._published.new_name(), space, dimensions, is_lite=is_lite)
        return self.collection

    def check_open(self, client: MilvusClient) -> None:
        if time.monotonic() > self._held_at + RENEW_S:
            self._published.hold(client)
            self._held_at = time.monotonic()

    def forget(self) -> None:
        """It is known, as nobody else has it."""


def _made(client: MilvusClient, name: str, space: str, dimensions: int, *, is_lite: bool) -> Collection:
    client.create_collection(
        name,
        schema=rows.schema(dimensions),
        properties={SPACE: space, DIMENSIONS: str(dimensions)},
        consistency_level="Strong",  # less may hide for longer than two seconds what others have put in
        timeout=LONG_S,
    )
    client.create_index(name, rows.indexes(is_lite=is_lite), timeout=LONG_S, sync=False)
    client.load_collection(name, timeout=LONG_S)
    return Collection(name, space, dimensions)


def _loaded(client: MilvusClient, name: str) -> Collection:
    properties = _properties(client, name)
    if SPACE not in properties:
        raise IndexUnavailable("The index was made by another program.")
    client.load_collection(name, timeout=LONG_S)
    return Collection(name, properties[SPACE], int(properties[DIMENSIONS]))


def _properties(client: MilvusClient, name: str) -> Any:
    return client.describe_collection(name, timeout=ANSWER_S)["properties"]
