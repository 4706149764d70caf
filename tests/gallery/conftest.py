"""A collection of sixty works, and the page that shows it to everybody."""

import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.embeddings import EmbeddingModel
from app.embeddings.engines import Vectors
from app.search.opening import opened
from app.search.store import Item
from PIL import Image
from starlette.testclient import TestClient

from tests.conftest import MakeSettings, Serving

ARTISTS = ("Ada Impasto", "Ben Glaze", "Cy Ground")
SIXTY = [f"work-{number:02}" for number in range(60)]
SEARCHES = ("a stormy sea at night", "two dogs")


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture that is hard to make small."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels, "RGB")


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """A picture as a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def unit(rows: int, dimensions: int = 64, seed: int = 0) -> Vectors:
    """Vectors in all directions."""
    vectors = np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float32)
    units: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def metadata_of(number: int) -> dict[str, Any]:
    """What is known of one of the sixty. Every fifth has a picture, of which every tenth lies beside the index."""
    known: dict[str, Any] = {
        "title": f"The work {number}",
        "artist": ARTISTS[number % 3],
        "year": 1850 + number,
        "on_show": number % 4 == 0,
        "room": number % 2,
    }
    if number % 5 == 0:
        known["image"] = {"path": f"images/{name_of(number)}", "width": 90, "height": 60}
    return known


def name_of(number: int) -> str:
    """Where the catalogue keeps a picture."""
    return f"{number:02}/{number:02}ffee.jpg"


def filled(folder: Path, model: EmbeddingModel, items: dict[str, dict[str, Any]], vectors: Sequence[Vectors]) -> str:
    """An index of these items in a folder."""
    url = f"faiss://{folder}"
    with closing(opened(url)) as store:
        store.upsert([Item(*each) for each in zip(items, vectors, items.values(), strict=True)], model.space)
    return url


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the index lies, and pictures beside it."""
    folder = tmp_path_factory.mktemp("collection")
    for number in range(0, 60, 10):
        file = folder / "images" / name_of(number)
        file.parent.mkdir(parents=True)
        file.write_bytes(encoded(noise(90, 60, number)))
    return folder


@pytest.fixture(scope="package")
def index_url(folder: Path, model: EmbeddingModel) -> str:
    """An index of the sixty works."""
    items = {item: metadata_of(number) for number, item in enumerate(SIXTY)}
    return filled(folder, model, items, list(unit(60)))


@pytest.fixture(scope="package")
def gallery(
    serving: Serving, make_settings: MakeSettings, index_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """The page of the sixty works, for everybody, beside the API."""
    settings = make_settings(
        index_url=index_url,
        gallery_access="public",
        gallery_title="The sixty",
        gallery_examples=SEARCHES,
        gallery_cache_dir=tmp_path_factory.mktemp("thumbnails"),
    )
    with serving(settings) as client:
        yield client
