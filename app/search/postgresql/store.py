"""A `Store` in PostgreSQL. Its tables are made when something is put in."""

import json
import logging
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, ClassVar, LiteralString

import numpy as np
from psycopg import sql

from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable
from app.search.fields import Field
from app.search.filters import Filter, scalars
from app.search.postgresql import fields, nearest, schema
from app.search.postgresql.connections import Connection, Connections, Settings, understood
from app.search.postgresql.schema import State
from app.search.store import About, Found, Item, Store, check_space

logger = logging.getLogger(__name__)

# A search that takes longer is of no use to who asked; other reading is as long as there are items.
SEARCHING: Settings = {"statement_timeout": 10_000}
READING: Settings = {"statement_timeout": 0, "lock_timeout": 10_000}
# A change may be large. Whoever waits for another's change that takes longer had better come again.
CHANGING: Settings = {"statement_timeout": 0, "lock_timeout": 10_000}
# While an index is filled anew, the transaction that keeps others from the old one does nothing.
BEGINNING_ANEW: Settings = {**CHANGING, "idle_in_transaction_session_timeout": 0}
# Who has changed much waits for its end, however long it takes.
SETTLING: Settings = {"statement_timeout": 0, "lock_timeout": 0}

# Whoever puts in fewer at once than this, as requests do, never calls `settle`: the index over vectors is then made as
# soon as it pays. Whoever puts in more is filling the index and does call it; made earlier, it would cost several times
# as much.
LARGE_CHANGE = 1000

# Rows that come from the server at once: a few MB.
ROWS_AT_ONCE, DIGESTS_AT_ONCE = 500, 20_000

INCOMING = """
    CREATE TEMPORARY TABLE "tate_embeddings$incoming"
    (id text, embedding vector, metadata jsonb, fields jsonb, digest text) ON COMMIT DROP
"""
COPY = 'COPY "tate_embeddings$incoming" FROM STDIN (FORMAT binary)'
# What is there already, as it is to be, is left alone: written again it would have to be indexed again.
PUT = """
    INSERT INTO {items} AS old SELECT id, embedding, metadata, fields, digest FROM "tate_embeddings$incoming"
    ON CONFLICT (id) DO UPDATE SET
        embedding = excluded.embedding, metadata = excluded.metadata, fields = excluded.fields, digest = excluded.digest
    WHERE (old.embedding, old.metadata, old.digest)
        IS DISTINCT FROM (excluded.embedding, excluded.metadata, excluded.digest)
"""

# As PostgreSQL sends and receives them: the version of jsonb's form; the length of a vector, and two bytes without use.
JSONB_VERSION = b"\x01"
VECTOR_HEAD = struct.Struct("!HH")
VECTOR_NUMBERS = ">f4"


def opened(index_url: str) -> "PostgresqlStore":
    """The index that `postgresql://…?index=NAME` names; without a name, `tate_embeddings`.

    Raises:
        IndexUnusable: the URL can't be understood.
    """
    return PostgresqlStore(*understood(index_url))


class PostgresqlStore:
    """An index in the database that libpq is told to connect to."""

    kind: ClassVar[str] = "postgresql"

    def __init__(self, conninfo: str, name: str) -> None:
        self._conninfo = conninfo
        self._connections = Connections(conninfo)
        self._name = name

    def about(self) -> About:
        with self._reading(READING) as (connection, state):
            if state is None:
                return About(None, None, 0)
            ((count,),) = connection.execute(self._sql("SELECT count(*) FROM {items}")).fetchall()
            return state.about(count)

    def upsert(self, items: Sequence[Item], space: str) -> None:
        if not items:
            return
        with self._changing() as connection:
            state = schema.begun(connection, self._name, space, len(items[0].vector))
            for dimensions in {len(item.vector) for item in items}:
                check_space(state.about(), space, dimensions)
            connection.execute(INCOMING)
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                # In one order, so that no two who put in the same wait for each other.
                for item in sorted(items, key=lambda item: item.id):
                    copy.write_row(_as_sent(item))
            connection.execute(self._sql(PUT))
            index_pays = len(items) < LARGE_CHANGE and nearest.pays(connection, self._name, state)
        if index_pays:
            try:
                self._index_vectors(CHANGING)
            except IndexUnavailable:
                logger.warning("The index over the vectors of %s can't be made now; searches take longer", self._name)

    def delete(self, ids: Sequence[str]) -> int:
        with self._changing() as connection:
            if schema.state(connection, self._name) is None:
                return 0
            return connection.execute(self._sql("DELETE FROM {items} WHERE id = ANY(%s)"), ([*ids],)).rowcount

    def search(self, vector: Vectors, limit: int, where: Filter, space: str) -> list[Found]:
        with self._reading({**SEARCHING, **nearest.settings(limit)}) as (connection, state):
            if state is None:
                return []
            check_space(state.about(), space, len(vector))
            return nearest.search(connection, self._name, state, vector, limit, where)

    def vectors(self, ids: Sequence[str], space: str) -> dict[str, Vectors]:
        with self._reading(SEARCHING) as (connection, state):
            if state is None:
                return {}
            check_space(state.about(), space, state.dimensions)
            query = self._sql("SELECT id, embedding FROM {items} WHERE id = ANY(%s)")
            rows = connection.execute(query, ([*ids],), binary=True)
            return {identity: _vector(sent) for identity, sent in rows}

    def metadata_of(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        with self._reading(SEARCHING) as (connection, state):
            if state is None:
                return {}
            query = self._sql("SELECT id, metadata FROM {items} WHERE id = ANY(%s)")
            return dict(connection.execute(query, ([*ids],)).fetchall())

    def has_field(self, name: str) -> bool:
        with self._reading(SEARCHING) as (connection, state):
            if state is None:
                return False
            query = self._sql("SELECT EXISTS (SELECT FROM {items} WHERE fields ? %s)")
            return connection.execute(query, (name,)).fetchone() == (True,)

    def fields(self) -> dict[str, Field]:
        with self._reading(READING) as (connection, state):
            return {} if state is None else fields.read(connection, self._name)

    def digests(self) -> dict[str, str]:
        return dict(self._rows("SELECT id, digest FROM {items}", DIGESTS_AT_ONCE))

    def items(self) -> Iterator[Item]:
        query = "SELECT id, embedding, metadata, digest FROM {items}"
        for identity, sent, metadata, digest in self._rows(query, ROWS_AT_ONCE):
            yield Item(identity, _vector(sent), metadata, digest)

    def settle(self) -> None:
        self._index_vectors(SETTLING)

    @contextmanager
    def anew(self) -> Iterator[Store]:
        with (
            closing(PostgresqlStore(self._conninfo, schema.unfinished(self._name))) as fresh,
            self._connections.transaction(BEGINNING_ANEW) as connection,
        ):
            schema.lock(connection, self._changes)
            with self._connections.transaction(CHANGING) as clearing:
                schema.drop_unfinished(clearing, self._name)
            try:
                yield fresh
                fresh.settle()
                with connection.transaction():  # which lets go of what it holds if it fails
                    schema.swap(connection, self._name, fresh._name)
            except BaseException:
                # Only that: where the connection was lost, somebody else may have begun. The next one drops what stays.
                with suppress(IndexUnavailable), fresh._connections.transaction(CHANGING) as clearing:
                    schema.drop(clearing, fresh._name)
                raise

    def close(self) -> None:
        self._connections.close()

    @property
    def _changes(self) -> str:
        return f"changing {self._name}"

    def _sql(self, query: LiteralString) -> sql.Composed:
        return sql.SQL(query).format(items=sql.Identifier(self._name))

    @contextmanager
    def _reading(self, settings: Settings) -> Iterator[tuple[Connection, State | None]]:
        with self._connections.transaction(settings) as connection:
            yield connection, schema.state(connection, self._name)

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        """A transaction of one of those who change items. Who fills the index anew keeps them out."""
        with self._connections.transaction(CHANGING) as connection:
            schema.lock(connection, self._changes, shared=True)
            yield connection

    def _rows(self, query: LiteralString, at_once: int) -> Iterator[tuple[Any, ...]]:
        with self._reading(READING) as (connection, state):
            if state is None:
                return
            with connection.cursor("rows", binary=True) as cursor:
                cursor.itersize = at_once
                cursor.execute(self._sql(query))
                yield from cursor

    def _index_vectors(self, settings: Settings) -> None:
        with self._connections.transaction(settings) as connection:
            schema.lock(connection, f"indexing {self._name}")
            state = schema.state(connection, self._name)
            if state is not None and nearest.pays(connection, self._name, state):
                nearest.make(connection, self._name, state)


def _as_sent(item: Item) -> tuple[str, bytes, bytes, bytes, str]:
    numbers = np.asarray(item.vector, VECTOR_NUMBERS)
    embedding = VECTOR_HEAD.pack(len(numbers), 0) + numbers.tobytes()
    return item.id, embedding, _json(item.metadata), _json(scalars(item.metadata)), item.digest


def _json(value: Mapping[str, Any]) -> bytes:
    return JSONB_VERSION + json.dumps(dict(value), ensure_ascii=False).encode()


def _vector(sent: bytes) -> Vectors:
    return np.frombuffer(sent, VECTOR_NUMBERS, offset=VECTOR_HEAD.size).astype(np.float32)
