"""What computes vectors. Everything above knows only `Engine`; everything below knows one library."""

import sys
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from app.config import Device, Precision
from app.config import Engine as EngineName

# OpenVINO's Python package reports its own import to an analytics service; it does without where this is missing.
cast(Any, sys.modules).setdefault("openvino_telemetry", None)

Ids = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Engine(Protocol):
    """A loaded model. Both methods may be called from several threads at once; vectors aren't normalised.

    `streams` is how many batches of each kind are worth computing side by side; `tokens` and `pictures` are how many
    of them make a batch that is worth its time, padding included.
    """

    name: EngineName
    device: Device
    precision: Precision
    streams: int
    tokens: int
    pictures: int

    def embed_ids(self, ids: Ids) -> Vectors:
        """(n, length) token ids to (n, dimensions) vectors."""

    def embed_pixels(self, pixels: Pixels) -> Vectors:
        """(n, height, width, 3) bytes of RGB to (n, dimensions) vectors."""
