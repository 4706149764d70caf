"""A picture as the model wants it: resized and cropped as `open_clip` does it, bit for bit, in 8-bit colour.

Scaling to [0, 1] and normalising happen in the model's graph, so that a picture travels as bytes.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]

RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

# Beyond this ratio of its sides a picture isn't resized whole: resized to 224 pixels across, a picture of 1 x 20,000
# would be one of gigabytes, of which the crop keeps a sliver.
WIDEST_WHOLE = 10
# Unless that is a small picture after all; Pillow takes four bytes for each pixel.
AFFORDABLE_PIXELS = 4_000_000
# How far bicubic resampling reads to each side, in pixels of whichever picture is the coarser.
REACH = 3


@dataclass(frozen=True)
class Preprocessing:
    """The choices that `open_clip` records with a model; `height` and `width` are the model's own."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"]
    resize_mode: Literal["shortest", "longest", "squash"]
    fill_color: int

    def __call__(self, image: Image.Image) -> Pixels:
        """The picture as (height, width, 3) bytes of RGB."""
        if self.resize_mode == "squash":
            image = image.resize((self.width, self.height), self._resampling)
        elif self.resize_mode == "longest":
            image = self._padded(image)
        else:
            image = self._covering(image)
        return np.asarray(image.convert("RGB"))

    @property
    def _resampling(self) -> Image.Resampling:
        return RESAMPLING[self.interpolation]

    def _covering(self, image: Image.Image) -> Image.Image:
        """Resize until the picture just covers the model's size, then keep the centre."""
        width, height = image.size
        if self.width == self.height:
            resampling = self._resampling
            side = self.width
            # torchvision cuts the longer side to a whole number, where timm's resize for oblong models rounds.
            resized = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
        else:
            resampling = Image.Resampling.BICUBIC
            ratio = min(height / self.height, width / self.width)
            resized = (round(width / ratio), round(height / ratio))
        left, top = round((resized[0] - self.width) / 2), round((resized[1] - self.height) / 2)
        crop = (left, top, left + self.width, top + self.height)
        affordable = resized[0] * resized[1] <= AFFORDABLE_PIXELS
        if affordable or max(width, height) <= WIDEST_WHOLE * min(width, height):
            return (image if resized == image.size else image.resize(resized, resampling)).crop(crop)
        # The same resampling of the part that the crop keeps; Pillow still reads the neighbours that it needs.
        across, down = width / resized[0], height / resized[1]
        box = (crop[0] * across, crop[1] * down, min(crop[2] * across, width), min(crop[3] * down, height))
        if resized[1] < height:
            return image.resize((self.width, self.height), resampling, box=box)
        # Pillow enlarges across first and clips in between; left to itself it would begin with the crop's other side.
        x, y = _around(box[0], box[2], across, width), _around(box[1], box[3], down, height)
        part = image.crop((x[0], y[0], x[1], y[1]))
        part = part.resize((self.width, part.height), resampling, box=(box[0] - x[0], 0, box[2] - x[0], part.height))
        return part.resize((self.width, self.height), resampling, box=(0, box[1] - y[0], self.width, box[3] - y[0]))

    def _padded(self, image: Image.Image) -> Image.Image:
        """Resize until the picture just fits into the model's size, then fill up around it."""
        width, height = image.size
        ratio = max(height / self.height, width / self.width)
        fitting = (max(1, round(width / ratio)), max(1, round(height / ratio)))
        resized = image.resize(fitting, self._resampling).convert("RGB")
        left, top = (self.width - resized.width) // 2, (self.height - resized.height) // 2
        border = (left, top, self.width - resized.width - left, self.height - resized.height - top)
        return ImageOps.expand(resized, border, fill=(self.fill_color,) * 3)


def _around(start: float, end: float, scale: float, size: int) -> tuple[int, int]:
    """The pixels that resampling a stretch of a side reads."""
    reach = math.ceil(REACH * max(scale, 1))
    return max(0, math.floor(start) - reach), min(size, math.ceil(end) + reach)
