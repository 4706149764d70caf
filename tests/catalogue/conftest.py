"""A catalogue's places, a host for its images, and a model that takes no time and says what it was asked for."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.catalogue.embedding import Compute, Unusable
from app.catalogue.journal import Picture
from app.catalogue.places import Places
from app.embeddings.engines import Vectors
from PIL import Image

from tests.images.hosts import Host

SPACE, DIMENSIONS = "0123456789abcdef", 8


def picture(number: int) -> bytes:
    """A small image, different for each number."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (number % 256, number // 256, 99)).save(stream, "PNG")
    return stream.getvalue()


def vector_of(data: bytes) -> Vectors:
    """What the model makes of an image."""
    vector = np.frombuffer(sha256(data).digest()[:DIMENSIONS], np.uint8).astype(np.float32) - 128
    return vector / np.linalg.norm(vector)


class Model:
    """A model of a space; `computed` has the bytes of the images that it was asked for, in their order."""

    dimensions = DIMENSIONS

    def __init__(self, space: str = SPACE) -> None:
        self.space = space
        self.computed: list[bytes] = []
        # Of these images it can make nothing, and at this one the command is stopped.
        self.unusable: dict[bytes, Unusable] = {}
        self.stopped_at: bytes | None = None

    def describe(self) -> Mapping[str, Any]:
        return {"model": "a model of the tests"}

    @contextmanager
    def computing(self) -> Iterator[Compute]:
        yield self._compute

    def _compute(self, images: Mapping[str, Path]) -> Iterator[Mapping[str, Picture | Unusable]]:
        for digest, path in images.items():
            yield {digest: self._of(path.read_bytes())}

    def _of(self, data: bytes) -> Picture | Unusable:
        if data == self.stopped_at:
            raise KeyboardInterrupt
        self.computed.append(data)
        return self.unusable.get(data) or Picture(vector_of(data), 8, 6)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places.of(tmp_path / "catalogue", None, None, None)
    places.output.mkdir()
    return places


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()
