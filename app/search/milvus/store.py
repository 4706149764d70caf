"""A `Store` in Milvus. Its collection is made when something is put in."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar, TypeVar

import numpy as np
from pymilvus import MilvusClient, MilvusException

from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable
from app.search.fields import Field, fields_of
from app.search.filters import Filter, scalars
from app.search.milvus import expressions, rows
from app.search.milvus.collections import NOT_FOUND, NOT_LOADED, Collection, Place, Published, Unfinished
from app.search.milvus.connection import ANSWER_S, CHANGE_S, LONG_S, Address, Connection, understood
from app.search.store import About, Found, Item, Store, check_space

Result = TypeVar("Result")

# Rows that are read at a time, by how much of each is.
WHOLE_ROWS, SHORT_ROWS = 1000, 10_000
COUNT = "count(*)"


def opened(index_url: str) -> "MilvusStore":
    """The index in the Milvus that a URL names.

    Raises:
        IndexUnusable: the URL can't be understood.
    """
    address, index = understood(index_url)
    return MilvusStore(address, Published(index))


class MilvusStore:
    """An index in Milvus, or one that is to become it, by its place."""

    kind: ClassVar[str] = "milvus"

    def __init__(self, address: Address, place: Place) -> None:
        self._address = address
        self._place = place
        self._connection = Connection(address)

    def about(self) -> About:
        def ask(client: MilvusClient, collection: Collection) -> About:
            count = _count(client, collection, "")
            return About(collection.space, collection.dimensions, count, {"collection": collection.name})

        return self._asked(ask, About(None, None, 0))

    def upsert(self, items: Sequence[Item], space: str) -> None:
        if not items:
            return
        dimensions = len(items[0].vector)
        with self._connection.asking() as client:
            self._place.check_open(client)
            collection = self._place.current(client)
            if collection is None:
                collection = self._place.begun(client, space, dimensions, is_lite=self._connection.is_lite)
            _check(collection, space, dimensions)
            for batch in rows.batches(items):
                client.upsert(collection.name, batch, timeout=CHANGE_S)

    def delete(self, ids: Sequence[str]) -> int:
        def ask(client: MilvusClient, collection: Collection) -> int:
            self._place.check_open(client)
            deleted = 0
            for those in rows.with_ids(ids):
                deleted += len(client.query(collection.name, those, ["id"], timeout=ANSWER_S))
                client.delete(collection.name, filter=those, timeout=CHANGE_S)
            return deleted

        return self._asked(ask, 0)

    def search(self, vector: Vectors, limit: int, where: Filter, space: str) -> list[Found]:
        fits = expressions.fitting(where)

        def ask(client: MilvusClient, collection: Collection) -> list[Found] | None:
            _check(collection, space, len(vector))
            (hits,) = client.search(
                collection.name,
                [vector],
                anns_field=rows.VECTOR,
                filter=self._expression(where),
                limit=limit,
                output_fields=["id", "metadata"],
                search_params=rows.search_params(limit),
                timeout=ANSWER_S,
            )
            found = [Found(hit["entity"]["id"], hit["distance"], rows.metadata(hit["entity"])) for hit in hits]
            is_right = all(fits(each.metadata) for each in found)
            is_whole = len(found) == limit or len(found) == _count(client, collection, self._expression(where))
            return found if is_right and is_whole else None

        nothing: list[Found] | None = []
        found = self._asked(ask, nothing)
        return self._compared(vector, limit, where, space) if found is None else found

    def vectors(self, ids: Sequence[str], space: str) -> dict[str, Vectors]:
        def ask(client: MilvusClient, collection: Collection) -> dict[str, Vectors]:
            _check(collection, space, collection.dimensions)
            return {
                row["id"]: np.array(row[rows.VECTOR], np.float32)
                for those in rows.with_ids(ids)
                for row in client.query(collection.name, those, ["id", rows.VECTOR], timeout=ANSWER_S)
            }

        return self._asked(ask, {})

    def metadata_of(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        def ask(client: MilvusClient, collection: Collection) -> dict[str, Mapping[str, Any]]:
            return {
                row["id"]: rows.metadata(row)
                for those in rows.with_ids(ids)
                for row in client.query(collection.name, those, ["id", "metadata"], timeout=ANSWER_S)
            }

        return self._asked(ask, {})

    def has_field(self, name: str) -> bool:
        def those(_: Collection) -> str:
            return expressions.naming(name, is_lite=self._connection.is_lite)

        return any(name in scalars(rows.metadata(row)) for row in self._rows(["metadata"], 1, those))

    def fields(self) -> dict[str, Field]:
        return fields_of(map(rows.metadata, self._rows(["metadata"], WHOLE_ROWS)))

    def digests(self) -> dict[str, str]:
        return {row["id"]: row["digest"] for row in self._rows(["id", "digest"], SHORT_ROWS)}

    def items(self) -> Iterator[Item]:
        return map(rows.item, self._rows(rows.OUTPUT, WHOLE_ROWS))

    def settle(self) -> None:
        self._asked(lambda client, collection: client.flush(collection.name, timeout=LONG_S), None)

    @contextmanager
    def anew(self) -> Iterator[Store]:
        assert isinstance(self._place, Published)
        published, unfinished = self._place, Unfinished(self._place)
        with self._connection.asking() as client:
            published.hold(client)
            published.drop_others(client)
        try:
            with closing(MilvusStore(self._address, unfinished)) as fresh:
                yield fresh
            with self._connection.asking() as client:
                published.replace(client, unfinished.collection)
        finally:
            with suppress(IndexUnavailable), self._connection.asking() as client:
                published.drop_others(client)
                published.release(client)

    def close(self) -> None:
        self._connection.close()

    def _asked(self, ask: Callable[[MilvusClient, Collection], Result], without: Result) -> Result:
        """What is to be known of the collection; `without` if there is none.

        Another one may have taken its place since its name was asked for, or the server may have started anew.
        """
        with self._connection.asking() as client:
            for is_last in (False, True):
                collection = self._place.current(client)
                if collection is None:
                    break
                try:
                    return ask(client, collection)
                except MilvusException as error:
                    if is_last or error.code not in {NOT_FOUND, NOT_LOADED}:
                        raise
                    self._place.forget()
            return without

    def _rows(
        self, fields: list[str], at_once: int, those: Callable[[Collection], str] = lambda _: ""
    ) -> Iterator[dict[str, Any]]:
        """The rows that an expression asks for, all if it is empty; it may depend on the collection."""

        def ask(client: MilvusClient, collection: Collection) -> Any:
            expression = those(collection)
            return client.query_iterator(
                collection.name, at_once, filter=expression, output_fields=fields, timeout=ANSWER_S
            )

        pages = self._asked(ask, None)
        while pages is not None:
            with self._connection.asking():
                page = pages.next()
            if not page:
                return
            yield from page

    def _compared(self, vector: Vectors, limit: int, where: Filter, space: str) -> list[Found]:
        """What is found by comparing one by one, where Milvus can't tell all or nothing but what fits."""
        fits = expressions.fitting(where)

        def those(collection: Collection) -> str:
            _check(collection, space, len(vector))
            return self._expression(where)

        found = (
            Found(item.id, float(item.vector @ vector), item.metadata)
            for item in map(rows.item, self._rows(rows.OUTPUT, WHOLE_ROWS, those))
            if fits(item.metadata)
        )
        return heapq.nlargest(limit, found, key=lambda each: each.score)

    def _expression(self, where: Filter) -> str:
        return expressions.expression(where, is_lite=self._connection.is_lite)


def _check(collection: Collection, space: str, dimensions: int) -> None:
    check_space(About(collection.space, collection.dimensions, 0), space, dimensions)


def _count(client: MilvusClient, collection: Collection, those: str) -> int:
    (row,) = client.query(collection.name, those, [COUNT], timeout=ANSWER_S)
    count: int = row[COUNT]
    return count
