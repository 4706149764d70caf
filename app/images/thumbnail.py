"""A picture made small, to be shown: what a decoder's process gives in the place of a model's pixels."""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from app.images.decode import Box, Pixels, Size

Format = Literal["WEBP", "JPEG"]

# So many bytes a thumbnail has at most; what is hard to compress gets coarser, and in the end smaller, until it fits.
MAX_BYTES = 120_000
QUALITIES = (82, 70, 55, 40)
SMALLER = 0.75
# Past twice what is wanted, a JPEG need not be decoded.
OVERSAMPLING = 2


@dataclass(frozen=True)
class Thumbnail:
    """Makes a picture fit into a square of so many pixels, and encodes it. What it gives are the bytes of the file."""

    side: int
    format: Format

    @property
    def enough(self) -> int:
        return OVERSAMPLING * self.side

    def __call__(self, image: Image.Image) -> Pixels:
        return self.of_reduced(image, image.size, (0, 0, *image.size))

    def of_reduced(self, image: Image.Image, size: Size, area: Box) -> Pixels:
        side = self.side
        while True:
            small = image.resize(fitted(size, side), Image.Resampling.LANCZOS, area, reducing_gap=3.0)
            for quality in QUALITIES:
                file = io.BytesIO()
                small.save(file, self.format, quality=quality, method=4, progressive=True)
                if file.tell() <= MAX_BYTES:
                    return np.frombuffer(file.getbuffer(), np.uint8)
            side = int(side * SMALLER)


def fitted(size: Size, side: int) -> Size:
    """The size of a picture that is made to fit into a square; never a larger one."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
