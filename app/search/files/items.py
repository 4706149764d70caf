"""Items in one SQLite file: what is true of an index, from which what is quick to search is made.

Whatever is put in gets a new key, larger than any before it, unless only its metadata has changed: a key stands for
one vector for ever, and one that is gone doesn't come back. The file is written in short transactions, so that who
reads waits for milliseconds, and in a form that can be read from a read-only disk.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable
from app.search.fields import MOST_DISTINCT, Field, field_of
from app.search.filters import AnyOf, Condition, Filter, Scalar, scalars
from app.search.store import About, Found, Item

Keys = NDArray[np.int64]

FORMAT = 1
# Commits take milliseconds; a disk that is slower for so long is broken.
PATIENCE_S = 10.0
# Beyond it SQLite would write before a transaction ends, and keep readers out for as long.
CACHE_KIB = 64 * 1024
NO_KEY_YET = 0
LARGEST_KEY = 2**63 - 1

SCHEMA = """
PRAGMA page_size = 16384;  -- of the usual 4096 a vector of 512 numbers would fill one, half empty
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE items (
    key INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, metadata TEXT NOT NULL
);
CREATE TABLE vectors (key INTEGER PRIMARY KEY, vector BLOB NOT NULL);
-- What filters look at. Numbers, strings and booleans, which stand here as a byte, are never equal to one another.
CREATE TABLE facets (field TEXT, value, key INTEGER, PRIMARY KEY (field, value, key)) WITHOUT ROWID;
INSERT INTO about VALUES ('count', 0), ('space', NULL), ('dimensions', NULL);
"""

Row = tuple[Any, ...]


class Items:
    """One file of items. Methods may be called from several threads; changes are for one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()

    def create(self) -> None:
        """Make the file, empty.

        Raises:
            IndexUnavailable: it can't be written.
        """
        try:
            with closing(sqlite3.connect(self.path)) as connection:
                connection.executescript(SCHEMA)
                connection.execute("INSERT INTO about VALUES ('format', ?)", (FORMAT,))
                connection.commit()
        except sqlite3.Error as error:
            raise IndexUnavailable("The index can't be written.") from error

    @contextmanager
    def reading(self) -> Iterator["Reading"]:
        """The items as they are at one moment.

        Raises:
            IndexUnavailable: the file can't be read.
        """
        with self._connected() as connection:
            connection.execute("BEGIN")
            yield Reading(connection)
            connection.rollback()

    @contextmanager
    def writing(self) -> Iterator["Writing"]:
        """The items, to be changed: all that is done inside, or nothing.

        Raises:
            IndexUnavailable: the file can't be written.
        """
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield Writing(connection)
            connection.commit()

    def close(self) -> None:
        """Close what is open and not in use."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            try:
                connection = self._idle.get_nowait()
            except Empty:
                connection = self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()  # which undoes what was begun
                raise
            self._idle.put(connection)
        except sqlite3.Error as error:
            raise IndexUnavailable("The index can't be read or written now.") from error

    def _connect(self) -> sqlite3.Connection:
        # Opened for reading where it may not be written; where it may, readers too undo what a killed writer has left.
        uri = f"file:{quote(str(self.path))}?mode=rw"
        connection = sqlite3.connect(uri, PATIENCE_S, isolation_level=None, check_same_thread=False, uri=True)
        try:
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            (found,) = connection.execute("SELECT value FROM about WHERE name = 'format'").fetchone()
            if found != FORMAT:
                raise IndexUnavailable("The index was written by another version of this program.")
        except BaseException:
            connection.close()
            raise
        return connection


class Reading:
    """Items at one moment."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def about(self) -> About:
        """What they are."""
        told = dict(self._rows("SELECT name, value FROM about"))
        return About(told["space"], told["dimensions"], told["count"])

    def last_key(self) -> int:
        """The last key that was given."""
        found = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'items'").fetchone()
        return int(found[0]) if found else NO_KEY_YET

    def vectors_after(self, key: int, until: int = LARGEST_KEY, most: int = -1) -> tuple[Keys, Vectors]:
        """Keys beyond one, in their order, and their vectors."""
        rows = self._rows(
            "SELECT key, vector FROM vectors WHERE key > ? AND key <= ? ORDER BY key LIMIT ?", key, until, most
        )
        return _unzipped(rows)

    def count_after(self, key: int) -> int:
        """How many there are beyond a key."""
        (count,) = self._rows("SELECT count(*) FROM vectors WHERE key > ?", key).fetchone()
        return int(count)

    def vectors_of(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of those ids that are there."""
        rows = self._rows(
            "SELECT id, vector FROM items JOIN vectors USING (key) WHERE id IN (SELECT value FROM json_each(?))",
            json.dumps(ids),
        )
        return {identity: np.frombuffer(vector, "<f4") for identity, vector in rows}

    def metadata_of(self, ids: Sequence[str]) -> dict[str, Any]:
        """The metadata of those ids that are there."""
        rows = self._rows(
            "SELECT id, metadata FROM items WHERE id IN (SELECT value FROM json_each(?))", json.dumps(ids)
        )
        return {identity: json.loads(metadata) for identity, metadata in rows}

    def matching(self, where: Filter) -> Keys:
        """The keys of the items whose metadata is so, in order."""
        queries, parameters = zip(*map(_query, where), strict=True)
        rows = self._rows(" INTERSECT ".join(queries), *(value for some in parameters for value in some))
        return np.sort(np.fromiter((key for (key,) in rows), np.int64))

    def found(self, scores: dict[int, float]) -> list[Found]:
        """The items of those keys that are still there, in the order of the keys."""
        query = "SELECT key, id, metadata FROM items WHERE key IN (SELECT value FROM json_each(?))"
        rows = {key: (identity, metadata) for key, identity, metadata in self._rows(query, json.dumps([*scores]))}
        return [Found(rows[key][0], score, json.loads(rows[key][1])) for key, score in scores.items() if key in rows]

    def has_field(self, name: str) -> bool:
        """Whether any of them has such a field for filters."""
        return self._rows("SELECT 1 FROM facets WHERE field = ? LIMIT 1", name).fetchone() is not None

    def field_after(self, name: str) -> str | None:
        """The name of the next field for filters, by the order of names."""
        (found,) = self._rows("SELECT min(field) FROM facets WHERE field > ?", name).fetchone()
        return None if found is None else str(found)

    def field(self, name: str) -> Field:
        """What there is in a field for filters."""
        # In the order of the table's own key, so that it ends where there is too much.
        rows = self._rows(
            "SELECT value, count(*) FROM facets WHERE field = ? GROUP BY value LIMIT ?", name, MOST_DISTINCT + 1
        )
        counted = [(_value(value), count) for value, count in rows]
        # Numbers are before every text.
        bounds = self._rows(
            "SELECT (SELECT min(value) FROM facets WHERE field = ?1 AND value < ''), "
            "(SELECT max(value) FROM facets WHERE field = ?1 AND value < '')",
            name,
        ).fetchone()
        return field_of(counted, *bounds)

    def digests(self) -> dict[str, str]:
        """The digest of each, by id."""
        return dict(self._rows("SELECT id, digest FROM items"))

    def items_after(self, key: int, most: int) -> tuple[int, list[Item]]:
        """Items of keys beyond one, in their order, and the last key among them."""
        rows = self._rows(
            "SELECT key, id, vector, metadata, digest FROM items JOIN vectors USING (key) "
            "WHERE key > ? ORDER BY key LIMIT ?",
            key,
            most,
        ).fetchall()
        return rows[-1][0] if rows else key, [
            Item(identity, np.frombuffer(vector, "<f4"), json.loads(metadata), digest)
            for _, identity, vector, metadata, digest in rows
        ]

    def _rows(self, query: str, *parameters: Any) -> sqlite3.Cursor:
        return self._connection.execute(query, parameters)


class Writing(Reading):
    """Items that are being changed."""

    def begin(self, space: str, dimensions: int) -> None:
        """Say whose vectors they are to be."""
        told = [("space", space), ("dimensions", dimensions)]
        self._connection.executemany("UPDATE about SET value = ?2 WHERE name = ?1", told)

    def put(self, items: Sequence[Item]) -> None:
        """Put items in, each in the place of what had its id."""
        before = self._before([item.id for item in items])
        new: list[tuple[int, Item]] = []
        key = self.last_key()
        for item in items:
            if item.id in before and before[item.id][1] == _packed(item.vector):
                kept, _, metadata = before.pop(item.id)
                self._describe([(kept, item)], {kept: metadata})
            else:
                key += 1
                new.append((key, item))
        self._remove(before)
        self._connection.executemany(
            "INSERT INTO items (key, id, digest, metadata) VALUES (?, ?, ?, '{}')",
            [(key, item.id, item.digest) for key, item in new],
        )
        self._connection.executemany(
            "INSERT INTO vectors VALUES (?, ?)", [(key, _packed(item.vector)) for key, item in new]
        )
        self._describe(new, {})
        self._count(len(new))

    def delete(self, ids: Sequence[str]) -> int:
        """Take items out; how many there were."""
        before = self._before(ids)
        self._remove(before)
        return len(before)

    def _before(self, ids: Sequence[str]) -> dict[str, tuple[int, bytes, str]]:
        rows = self._rows(
            "SELECT id, key, vector, metadata FROM items JOIN vectors USING (key) "
            "WHERE id IN (SELECT value FROM json_each(?))",
            json.dumps(ids),
        )
        return {identity: (key, vector, metadata) for identity, key, vector, metadata in rows}

    def _describe(self, items: Iterable[tuple[int, Item]], before: dict[int, str]) -> None:
        """Give items' keys their metadata and digest, in the place of such metadata."""
        self._forget_facets(before)
        rows = [(key, item.digest, json.dumps(dict(item.metadata), ensure_ascii=False)) for key, item in items]
        self._connection.executemany("UPDATE items SET digest = ?2, metadata = ?3 WHERE key = ?1", rows)
        facets = [facet for key, item in items for facet in _facets(key, item.metadata)]
        self._connection.executemany("INSERT OR IGNORE INTO facets VALUES (?, ?, ?)", facets)

    def _remove(self, before: dict[str, tuple[int, bytes, str]]) -> None:
        self._forget_facets({key: metadata for key, _, metadata in before.values()})
        keys = [(key,) for key, _, _ in before.values()]
        self._connection.executemany("DELETE FROM items WHERE key = ?", keys)
        self._connection.executemany("DELETE FROM vectors WHERE key = ?", keys)
        self._count(-len(keys))

    def _forget_facets(self, before: dict[int, str]) -> None:
        facets = [facet for key, metadata in before.items() for facet in _facets(key, json.loads(metadata))]
        self._connection.executemany("DELETE FROM facets WHERE field = ? AND value = ? AND key = ?", facets)

    def _count(self, more: int) -> None:
        self._connection.execute("UPDATE about SET value = value + ? WHERE name = 'count'", (more,))


def _query(condition: Condition) -> tuple[str, list[Any]]:
    """The keys of whose metadata a condition is true, in SQL."""
    if isinstance(condition, AnyOf):
        values = ", ".join("?" * len(condition.values))
        return f"SELECT key FROM facets WHERE field = ? AND value IN ({values})", [  # noqa: S608  # question marks alone
            condition.field,
            *map(_facet, condition.values),
        ]
    bounds = {">=": condition.at_least, "<=": condition.at_most}
    bounded = {sign: _facet(bound) for sign, bound in bounds.items() if bound is not None}
    # SQLite has every number before every text, and every text before every byte.
    kind = "text" if any(isinstance(bound, str) for bound in bounded.values()) else "real"
    query = "SELECT key FROM facets WHERE field = ? AND typeof(value) = ?"
    query += "".join(f" AND value {sign} ?" for sign in bounded)
    return query, [condition.field, kind, *bounded.values()]


def _facets(key: int, metadata: Any) -> Iterator[Row]:
    for field, values in scalars(metadata).items():
        for value in values:
            yield field, _facet(value), key


def _facet(value: Scalar) -> str | float | bytes:
    if isinstance(value, bool):
        return b"\1" if value else b"\0"
    return value if isinstance(value, str) else float(value)


def _value(facet: str | float | bytes) -> Scalar:
    return facet == b"\1" if isinstance(facet, bytes) else facet


def _packed(vector: Vectors) -> bytes:
    return vector.astype("<f4").tobytes()


def _unzipped(rows: Iterable[Row]) -> tuple[Keys, Vectors]:
    keys, vectors = [], []
    for key, vector in rows:
        keys.append(key)
        vectors.append(vector)
    if not keys:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    return np.array(keys, np.int64), np.frombuffer(b"".join(vectors), "<f4").reshape(len(keys), -1)
