"""Every kind of store, each as real as it can be had here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from app.embeddings.engines import Vectors
from app.search.opening import opened
from app.search.store import Item, Store

# Each has a module in `stores/` whose `index_url` gives the address of an index that is empty.
KINDS = ("faiss", "postgresql", "elasticsearch", "milvus")
SPACE, OTHER_SPACE = "0123456789abcdef", "fedcba9876543210"
DIMENSIONS = 32

Open = Callable[[], Store]


def unit(*numbers: float, dimensions: int = DIMENSIONS) -> Vectors:
    """A unit vector that begins with these numbers."""
    vector = np.zeros(dimensions, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def random_items(count: int, seed: int = 0, dimensions: int = DIMENSIONS) -> list[Item]:
    """Items of pairwise different vectors and some metadata."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        Item(
            f"item-{number}", vector, {"number": number, "parity": "odd" if number % 2 else "even"}, f"digest {number}"
        )
        for number, vector in enumerate(vectors)
    ]


@contextmanager
def closing(store: Store) -> Iterator[Store]:
    try:
        yield store
    finally:
        store.close()


@pytest.fixture(params=KINDS)
def index_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an index of each kind, where nothing is yet."""
    with import_module(f"tests.search.stores.{request.param}").index_url(tmp_path) as url:
        yield url


@pytest.fixture
def store(index_url: str) -> Iterator[Store]:
    """An empty store of each kind."""
    with closing(opened(index_url)) as store:
        yield store


@pytest.fixture
def another(index_url: str) -> Iterator[Store]:
    """The same index, as another process has it."""
    with closing(opened(index_url)) as store:
        yield store
