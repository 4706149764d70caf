"""From INDEX_URL to connections to a database, and from a database's failures to ours."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any
from urllib.parse import unquote

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from app.errors import IndexUnavailable, IndexUnusable

logger = logging.getLogger(__name__)

Connection = psycopg.Connection[tuple[Any, ...]]
# Of the database, by name; they hold for one transaction, so that poolers between us and it do no harm.
Settings = Mapping[str, str | int]

DEFAULT_NAME = "tate_embeddings"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
OURS = "index="
EXAMPLE = "postgresql://user:password@host:5432/database?index=name"

# Of each process. A server takes 100 in all, unless it was told otherwise.
MOST_CONNECTIONS = 8
CONNECT_S = 5
# What libpq is told unless the URL says otherwise. A server that was switched off, or a firewall that has forgotten a
# connection, says nothing: who waits for an answer, or for what was sent to arrive, asks after it and gives up.
DEFAULTS: dict[str, Any] = {
    "connect_timeout": CONNECT_S,
    "fallback_application_name": "tate-embeddings",
    "client_encoding": "UTF8",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
# The pool says of no attempt to its waiters that it failed: they look after it so often.
LOOK_S = 0.1

# Rights; a database that can be written to; a schema to make tables in; pgvector's schema in the search path.
MISSING = (
    errors.InsufficientPrivilege,
    errors.ReadOnlySqlTransaction,
    errors.InvalidSchemaName,
    errors.UndefinedObject,
    errors.UndefinedFunction,
)

UNREACHED = "The index's database doesn't answer; try again soon."
BUSY = "The index is being changed by somebody else, or too slow; try again soon."
FORBIDDEN = "The index's database doesn't let this service do that."


def understood(index_url: str) -> tuple[str, str]:
    """What libpq makes of a URL, and the name of the index, which alone is ours: `postgresql://…?index=NAME`.

    Raises:
        IndexUnusable: the URL says something else.
    """
    address, _, query = index_url.partition("?")
    options = [option for option in query.split("&") if option]
    names = [unquote(option.removeprefix(OURS)) for option in options if option.startswith(OURS)]
    name = names[-1] if names else DEFAULT_NAME
    if not NAME.fullmatch(name):
        raise _unusable("'index' is up to 40 small letters, digits and '_', a letter first")
    rest = "&".join(option for option in options if not option.startswith(OURS))
    try:
        given = conninfo_to_dict(f"{address}?{rest}")
    except psycopg.ProgrammingError:
        # Whose message quotes what it stumbled upon, which may be a password with a character that isn't encoded.
        raise _unusable("libpq doesn't understand it; what isn't plain in a URL is percent-encoded") from None
    return make_conninfo(**(DEFAULTS | given)), name


class Connections:
    """A few connections to one database, each made when it is needed."""

    def __init__(self, conninfo: str) -> None:
        # At its other level it says three lines of each connection that is taken and given back.
        logging.getLogger("psycopg.pool").setLevel(logging.WARNING)
        self._failures = 0
        self._pool = ConnectionPool(
            conninfo,
            # Prepared statements outlive the tables they were prepared for, and don't pass poolers.
            kwargs={"autocommit": True, "prepare_threshold": None},
            min_size=0,
            max_size=MOST_CONNECTIONS,
            open=False,
            # One that the server has closed meanwhile is put aside, and not found out by a request.
            check=ConnectionPool.check_connection,
            # Not ever more seldom: whoever comes next tries again.
            reconnect_timeout=0,
            reconnect_failed=self._count_failure,
        )

    @contextmanager
    def transaction(self, settings: Settings) -> Iterator[Connection]:
        """A transaction with settings of its own.

        Raises:
            IndexUnavailable: the database doesn't answer, is too slow or busy, or doesn't let us.
        """
        try:
            connection = self._taken()
            try:
                with connection.transaction():
                    apply(connection, settings)
                    yield connection
            finally:
                self._pool.putconn(connection)
        except (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected) as error:
            raise IndexUnavailable(BUSY) from error
        except MISSING as error:
            # Whose message names a table, a schema, a type or a command.
            logger.error("The database of INDEX_URL isn't set up for its user: %s", error.diag.message_primary)
            raise IndexUnavailable(FORBIDDEN) from error
        # The last: a table that was there when we looked and isn't any more.
        except (psycopg.OperationalError, psycopg.InternalError, errors.UndefinedTable) as error:
            raise IndexUnavailable(UNREACHED) from error

    def close(self) -> None:
        """Close them; there are none again."""
        self._pool.close()

    def _taken(self) -> Connection:
        self._pool.open()
        failures = self._failures
        deadline = monotonic() + CONNECT_S
        while True:
            try:
                return self._pool.getconn(timeout=LOOK_S)
            except PoolTimeout:
                if self._failures != failures or monotonic() > deadline:
                    raise

    def _count_failure(self, _: object) -> None:
        self._failures += 1


def apply(connection: Connection, settings: Settings) -> None:
    """Give the database other settings until the transaction ends."""
    connection.execute(
        "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS settings (name, value)",
        ([*settings], [*map(str, settings.values())]),
    )


def _unusable(wrong: str) -> IndexUnusable:
    return IndexUnusable(f"INDEX_URL is wrong: {wrong}. Example: INDEX_URL={EXAMPLE}")
