"""A file of Milvus Lite."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def index_url(folder: Path) -> Iterator[str]:
    yield f"milvus://{folder / 'index.db'}"
