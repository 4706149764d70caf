"""A folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def index_url(folder: Path) -> Iterator[str]:
    yield f"faiss://{folder / 'index'}"
