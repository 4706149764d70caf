"""The engine by itself, as the service and the catalogue drive it, and with nothing else to do."""

from functools import partial

import numpy as np
from app.config import Precision

from benchmarks.conditions import Conditions
from benchmarks.prepare import loaded
from benchmarks.roofline import Way

SECONDS = 10.0
WARM_UP_S = 1.0


def pictures_in_a_second(conditions: Conditions, precision: Precision) -> float:
    """How many pictures are embedded whose pixels are ready, in as many batches at a time as the engine has streams."""
    model = loaded(conditions, precision)
    size, batch = model.preprocessing, model.engine.pictures
    pixels = [*np.random.default_rng(0).integers(0, 256, (batch, size.height, size.width, 3), np.uint8)]
    way = Way("as it is driven", partial(model.embed_pixels, pixels), model.engine.streams, batch)
    way.rate(conditions.seconds(WARM_UP_S))
    return way.rate(conditions.seconds(SECONDS))
