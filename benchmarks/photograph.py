"""A picture that costs a decoder what a photograph costs."""

import io

import numpy as np
from PIL import Image

SIZE = (1536, 1200)


def photograph() -> bytes:
    """A JPEG of soft shapes with some noise."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse, np.float32) + rng.normal(0, 6, (SIZE[1], SIZE[0], 3))
    stream = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=88)
    return stream.getvalue()
