"""What callers send, and the vectors that they should get: from the instance's model, loaded in this process too."""

import base64
import functools
from typing import Any

import numpy as np
from app.config import Settings
from app.embeddings import EmbeddingModel
from app.embeddings.engines import Vectors

from tests.test_endpoints import as_png, painting

SEA = "a stormy sea at night"
WOMAN = "portrait of a woman in a red dress"
PAINTING = as_png(painting())
BASE64 = base64.b64encode(PAINTING).decode()
DATA_URI = f"data:image/png;base64,{BASE64}"


@functools.cache
def model() -> EmbeddingModel:
    return EmbeddingModel(
        "tiny-gallery", "bundled", settings=Settings.load(model_name="tiny-gallery", precision="float32")
    )


def texts(*texts: str) -> Vectors:
    return model().embed_texts(texts)


def paintings(*sizes: tuple[int, int]) -> Vectors:
    return model().embed_images([painting(*size) for size in sizes])


def seen() -> Vectors:
    """The one vector of `PAINTING`."""
    return paintings((90, 60))


def close(given: Any, expected: Any) -> bool:
    return np.shape(given) == np.shape(expected) and np.allclose(given, expected, atol=1e-5)
