"""Vectors that callers send: of the served model, and brought to length 1."""

from collections.abc import Sequence

import numpy as np

from app.embeddings import EmbeddingModel
from app.embeddings.engines import Vectors
from app.errors import InvalidRequest, SpaceMismatch


def check_served(space: str | None, model: EmbeddingModel) -> None:
    """See whether the space that something is said to be of, if any is, is that of the served model.

    Raises:
        SpaceMismatch: it isn't.
    """
    if space not in (None, model.space):
        raise SpaceMismatch(f"'space' is another than the served model's, which is '{model.space}'.")


def unit(numbers: Sequence[float], model: EmbeddingModel) -> Vectors:
    """The unit vector of an embedding that was sent.

    Raises:
        SpaceMismatch: it has another length than the served model's vectors.
        InvalidRequest: it has no direction.
    """
    if len(numbers) != model.dimensions:
        raise SpaceMismatch(
            f"'embedding' has {len(numbers)} numbers, the served model's vectors have {model.dimensions}."
        )
    vector = np.array(numbers, np.float64)
    largest = abs(vector).max()
    if not largest:
        raise InvalidRequest("'embedding' has nothing but zeros.")
    vector /= largest  # squares of very large and of very small numbers are none
    return (vector / np.linalg.norm(vector)).astype(np.float32)
