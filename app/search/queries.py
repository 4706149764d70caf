"""What is searched for, where it is made of several things: near to some of them, far from others."""

from collections.abc import Sequence

import numpy as np

from app.embeddings.engines import Vectors
from app.errors import InvalidRequest

# What is left below this, of unit vectors in float32, is what rounding leaves.
NOTHING = 1e-6


def mixed(vectors: Sequence[Vectors], weights: Sequence[float]) -> Vectors:
    """The unit vector of a weighted sum of unit vectors; what has a negative weight is led away from.

    Raises:
        InvalidRequest: nothing is left of it.
    """
    scale = np.array(weights, np.float64)
    scale /= abs(scale).max()  # weights may be of any size
    total = scale @ np.array(vectors, np.float64)
    length = np.linalg.norm(total)
    if length < NOTHING:
        raise InvalidRequest("The weighted queries cancel each other out.")
    return (total / length).astype(np.float32)
