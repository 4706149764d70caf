"""A picture that costs a decoder what a photograph costs."""

import io

import numpy as np
from PIL import Image

SIZE = (1536, 1200)
# 20 kB.
SMALL = (320, 240)


def photograph(size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG of soft shapes with some noise, of a width and a height."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse, np.float32) + rng.normal(0, 6, (size[1], size[0], 3))
    stream = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=88)
    return stream.getvalue()
