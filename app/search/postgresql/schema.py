"""The tables, and what there is of them.

    NAME                        the items of an index: a table that other programs may read too
    tate_embeddings$indexes     of which space each index is
    tate_embeddings$schema      which migrations were applied

Every name but the first has a `$`, which an index's name can't have.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from time import monotonic, sleep

from psycopg import errors, sql

from app.errors import IndexUnavailable
from app.search.postgresql.connections import Connection, apply
from app.search.store import About

logger = logging.getLogger(__name__)

# Each is applied once, in their order, by the first who puts something in; who only reads does with what is there. What
# was released stays as it is.
MIGRATIONS = (
    'CREATE TABLE "tate_embeddings$indexes" (name text PRIMARY KEY, space text NOT NULL, dimensions integer NOT NULL)',
)
OF_MIGRATIONS = (
    'CREATE TABLE IF NOT EXISTS "tate_embeddings$schema"'
    " (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
)
BEGUN = "to_regclass('\"tate_embeddings$indexes\"') IS NOT NULL"
# Since then a search goes on until it has found enough of what a filter lets through.
OLDEST_PGVECTOR = (0, 8)

# A vector of 512 numbers takes 2 kB, which is where PostgreSQL begins to lay a row's parts elsewhere. Comparing all
# takes four times as long then, so rows are let grow to a page.
IN_ONE_PLACE = 8160
ITEMS = """
    CREATE TABLE {items} (
        id text COLLATE "C" CONSTRAINT {id} PRIMARY KEY,
        embedding vector({dimensions}) NOT NULL,
        metadata jsonb NOT NULL,
        fields jsonb NOT NULL,
        digest text NOT NULL
    ) WITH (toast_tuple_target = {in_one_place})
"""
# Finds what has a value, and whether a field is anywhere, where every row would have to be looked at. New rows are put
# into it at once: to put them aside for later takes less time then, and more at every search.
OF_FIELDS = "CREATE INDEX {fields} ON {items} USING gin (fields) WITH (fastupdate = off)"

# A swap waits for searches to end, and whoever comes meanwhile waits behind it. So it waits for a moment, again and
# again: longer than the second after which PostgreSQL ends its own clearing up in favour of others, and in all as long
# as somebody may copy the database.
SWAP_TRIES_MS = 2_000
SWAP_PAUSE_S = 5.0
SWAP_WITHIN_S = 600.0


@dataclass(frozen=True)
class State:
    """What an index is where something was put in once."""

    space: str
    dimensions: int
    # Whether there is an index over its vectors.
    indexed: bool
    version: int

    def about(self, count: int = 0) -> About:
        """The same as the protocol has it."""
        details = {"search": "HNSW" if self.indexed else "exact"}
        return About(self.space, self.dimensions, count, details)


def state(connection: Connection, name: str) -> State | None:
    """What an index is, if it is. It stays so until the transaction ends: nobody swaps it meanwhile.

    Raises:
        IndexUnavailable: a newer version of this program was here.
    """
    there = connection.execute(f"SELECT to_regclass(quote_ident(%s)) IS NOT NULL AND {BEGUN}", (name,)).fetchone()
    if there != (True,):
        return None
    # That it looks at the items at all is what holds them.
    query = sql.SQL("""
        SELECT space, dimensions, to_regclass(quote_ident(%s)) IS NOT NULL,
               (SELECT max(version) FROM "tate_embeddings$schema"), EXISTS (SELECT FROM {items})
        FROM "tate_embeddings$indexes" WHERE name = %s
    """).format(items=sql.Identifier(name))
    row = connection.execute(query, (nearest_of(name), name)).fetchone()
    if row is None:
        return None
    found = State(*row[:4])
    _check_version(found.version)
    return found


def begun(connection: Connection, name: str, space: str, dimensions: int) -> State:
    """What an index is, which is made if it isn't, and brought up to date if it is older.

    Raises:
        IndexUnavailable: the database can't hold one; the log says what to do.
    """
    found = state(connection, name)
    if found is not None and found.version == len(MIGRATIONS):
        return found
    lock(connection, "schema")
    _migrate(connection)
    found = state(connection, name)  # somebody else may have been here first
    if found is not None:
        return found
    items = sql.Identifier(name)
    create = sql.SQL(ITEMS).format(
        items=items,
        id=sql.Identifier(_id_of(name)),
        dimensions=sql.Literal(dimensions),
        in_one_place=sql.Literal(IN_ONE_PLACE),
    )
    with _naming(name):
        connection.execute(create)
    connection.execute(sql.SQL(OF_FIELDS).format(fields=sql.Identifier(_fields_of(name)), items=items))
    # Of one whose table was dropped by hand there is a row still.
    connection.execute(
        """
        INSERT INTO "tate_embeddings$indexes" (name, space, dimensions) VALUES (%s, %s, %s)
        ON CONFLICT (name) DO UPDATE SET space = excluded.space, dimensions = excluded.dimensions
        """,
        (name, space, dimensions),
    )
    return State(space, dimensions, indexed=False, version=len(MIGRATIONS))


def lock(connection: Connection, what: str, *, shared: bool = False) -> None:
    """Be the only one to do something until the transaction ends, or one of those who do it side by side."""
    key = hashlib.blake2b(f"tate-embeddings {what}".encode(), digest_size=8).digest()
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    connection.execute(f"SELECT {function}(%s)", (int.from_bytes(key, "big", signed=True),))


def unfinished(name: str) -> str:
    """A name for an index that may take another's place. No two are the same, so that one who is late harms none."""
    return f"{name}$new${token_hex(4)}"


def drop(connection: Connection, name: str) -> None:
    """Drop an index, if there is one."""
    if not _is_begun(connection):
        return
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
    connection.execute('DELETE FROM "tate_embeddings$indexes" WHERE name = %s', (name,))


def drop_unfinished(connection: Connection, name: str) -> None:
    """Drop what was to take an index's place and never did."""
    if not _is_begun(connection):
        return
    leftovers = connection.execute(
        'SELECT name FROM "tate_embeddings$indexes" WHERE starts_with(name, %s)', (f"{name}$new$",)
    ).fetchall()
    for (leftover,) in leftovers:
        drop(connection, leftover)


def swap(connection: Connection, name: str, new: str) -> None:
    """Put an index in another's place, with the rights that others have on that one.

    If nothing was put into it, there is none from then on.
    """
    before = state(connection, name) is not None
    if before:
        _hold_alone(connection, name)
        if state(connection, new) is not None:
            _grant_as(connection, name, new)
        drop(connection, name)
    if state(connection, new) is None:
        return
    with _naming(name):
        rename = sql.SQL("ALTER TABLE {} RENAME TO {}")
        connection.execute(rename.format(sql.Identifier(new), sql.Identifier(name)))
    for part in (_id_of, _fields_of, nearest_of):
        rename = sql.SQL("ALTER INDEX IF EXISTS {} RENAME TO {}")
        connection.execute(rename.format(sql.Identifier(part(new)), sql.Identifier(part(name))))
    connection.execute('DELETE FROM "tate_embeddings$indexes" WHERE name = %s', (name,))  # of one dropped by hand
    connection.execute('UPDATE "tate_embeddings$indexes" SET name = %s WHERE name = %s', (name, new))


def nearest_of(name: str) -> str:
    """What the index over an index's vectors is called."""
    return f"{name}$nearest"


def _fields_of(name: str) -> str:
    return f"{name}$fields"


def _id_of(name: str) -> str:
    return f"{name}$id"


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except errors.DuplicateTable as error:
        logger.error("INDEX_URL names the index %s, but a table of another program is called so: name another", name)
        raise IndexUnavailable("The index's database has another table of that name.") from error


def _is_begun(connection: Connection) -> bool:
    return connection.execute(f"SELECT {BEGUN}").fetchone() == (True,)


def _migrate(connection: Connection) -> None:
    _have_pgvector(connection)
    connection.execute(OF_MIGRATIONS)
    (version,) = connection.execute('SELECT coalesce(max(version), 0) FROM "tate_embeddings$schema"').fetchall()[0]
    _check_version(version)
    for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute(migration)
        connection.execute('INSERT INTO "tate_embeddings$schema" (version) VALUES (%s)', (number,))


def _check_version(version: int) -> None:
    if version > len(MIGRATIONS):
        logger.error(
            "The database of INDEX_URL has version %d of the tables, and this program knows %d: run the newer program",
            version,
            len(MIGRATIONS),
        )
        raise IndexUnavailable("The index was written by a newer version of this program.")


def _have_pgvector(connection: Connection) -> None:
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.UndefinedFile) as error:
        logger.error(
            "The database of INDEX_URL has no pgvector: install it on the server, and let an administrator say "
            "CREATE EXTENSION vector in that database"
        )
        raise IndexUnavailable("The index's database has no pgvector.") from error
    ((version,),) = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchall()
    if tuple(map(int, version.split(".")[:2])) < OLDEST_PGVECTOR:
        logger.error(
            "The database of INDEX_URL has pgvector %s, and 0.8 is needed: install it on the server, and let an "
            "administrator say ALTER EXTENSION vector UPDATE in that database",
            version,
        )
        raise IndexUnavailable("The index's database has too old a pgvector.")


def _hold_alone(connection: Connection, name: str) -> None:
    """Wait until nobody reads an index any more, and keep others from it until the transaction ends."""
    deadline = monotonic() + SWAP_WITHIN_S
    apply(connection, {"lock_timeout": SWAP_TRIES_MS})
    while True:
        try:
            with connection.transaction():
                connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(name)))
            return
        except errors.LockNotAvailable:
            if monotonic() > deadline:
                raise
            sleep(SWAP_PAUSE_S)


def _grant_as(connection: Connection, name: str, new: str) -> None:
    """Let others do with a new table what they may do with the one whose place it takes."""
    grants = connection.execute(
        """
        SELECT privilege_type, CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END
        FROM pg_class, aclexplode(relacl) WHERE oid = to_regclass(quote_ident(%s)) AND grantee <> relowner
        """,
        (name,),
    ).fetchall()
    for privilege, grantee in grants:
        connection.execute(
            sql.SQL("GRANT {} ON TABLE {} TO {}").format(
                sql.SQL(privilege), sql.Identifier(new), sql.Identifier(grantee) if grantee else sql.SQL("PUBLIC")
            )
        )
