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

Size = tuple[int, int]
Box = tuple[float, float, float, float]

RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

# Beyond this ratio of its sides a picture isn't resized whole: resized to 224 pixels across, a picture of 1 x 20,000
# would be one of gigabytes, of which the crop keeps a sliver.
WIDEST_WHOLE = 10
# Unless that is a small picture after all; Pillow takes four bytes for each pixel.
AFFORDABLE_PIXELS = 4_000_000
# How far bicubic resampling reads to each side, in pixels of whichever picture is the coarser.
REACH = 3

# Where Pillow resamples each band for itself, rounding after each pass.
PLAIN_MODES = ("RGB", "L")

# A picture that is decoded to less than it has keeps this many pixels for each of the model's, on each side.
SPARE = 2


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
        resized, crop, resampling = self._cover(image.size)
        affordable = resized[0] * resized[1] <= AFFORDABLE_PIXELS
        if affordable or max(width, height) <= WIDEST_WHOLE * min(width, height):
            return _cut(image, resized, resampling, crop)
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

    def _cover(self, size: Size) -> tuple[Size, tuple[int, int, int, int], Image.Resampling]:
        """To which size a picture of this one is resized to cover the model's, what is kept of that, and how."""
        width, height = size
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
        return resized, (left, top, left + self.width, top + self.height), resampling

    def _padded(self, image: Image.Image) -> Image.Image:
        """Resize until the picture just fits into the model's size, then fill up around it."""
        return self._filled_up(image.resize(self._fitting(image.size), self._resampling).convert("RGB"))

    def _fitting(self, size: Size) -> Size:
        width, height = size
        ratio = max(height / self.height, width / self.width)
        return max(1, round(width / ratio)), max(1, round(height / ratio))

    def _filled_up(self, resized: Image.Image) -> Image.Image:
        left, top = (self.width - resized.width) // 2, (self.height - resized.height) // 2
        border = (left, top, self.width - resized.width - left, self.height - resized.height - top)
        return ImageOps.expand(resized, border, fill=(self.fill_color,) * 3)


@dataclass(frozen=True)
class FrugalPreprocessing(Preprocessing):
    """The same for pictures of which no more was decoded than it takes. It is near, and not bit for bit."""

    @property
    def enough(self) -> int:
        """How many pixels must at least be decoded on each side, if there are as many."""
        return SPARE * max(self.height, self.width)

    def of_reduced(self, image: Image.Image, size: Size, area: Box) -> Pixels:
        """The picture as (height, width, 3) bytes of RGB.

        Args:
            image: a reduction of the picture, in RGB, upright.
            size: the picture's own width and height. Where the crop lies depends on them.
            area: where in `image` the picture lies.
        """
        left, top, right, bottom = area
        if self.resize_mode == "squash":
            image = image.resize((self.width, self.height), self._resampling, box=area)
        elif self.resize_mode == "longest":
            image = self._filled_up(image.resize(self._fitting(size), self._resampling, box=area))
        else:
            resized, crop, resampling = self._cover(size)
            across, down = (right - left) / resized[0], (bottom - top) / resized[1]
            box = (
                left + crop[0] * across,
                top + crop[1] * down,
                min(left + crop[2] * across, right),
                min(top + crop[3] * down, bottom),
            )
            image = image.resize((self.width, self.height), resampling, box=box)
        return np.asarray(image)


def _cut(image: Image.Image, size: Size, resampling: Image.Resampling, crop: tuple[int, int, int, int]) -> Image.Image:
    """`image.resize(size, resampling).crop(crop)`, bit for bit, with less that is computed and thrown away.

    Pillow's `box` would do it in one call, but in 32-bit fractions: not bit for bit. So the passes that Pillow makes,
    across and then down, are made one by one, the first on the rows and the second on the columns that the crop needs.
    """
    width, height = image.size
    if image.size == size:
        return image.crop(crop)
    # Newer versions of Pillow begin with the height if that is where most is to be gained.
    down_first = height - size[1] > max(0, 2 * (width - size[0]))
    if down_first or image.mode not in PLAIN_MODES:
        return image.resize(size, resampling).crop(crop)
    left, top, right, bottom = crop
    down = height / size[1]
    first, last = _around(top * down, bottom * down, down, height) if bottom - top < size[1] else (0, height)
    rows = image if last - first == height else image.crop((0, first, width, last))
    across = rows.resize((size[0], rows.height), resampling)
    # At its old height again, with nothing in the other rows, so that the second pass has the same coefficients.
    columns = across if across.size == (right - left, height) else across.crop((left, -first, right, height - first))
    return columns.resize((columns.width, size[1]), resampling).crop((0, top, columns.width, bottom))


def _around(start: float, end: float, scale: float, size: int) -> tuple[int, int]:
    """The pixels that resampling a stretch of a side reads."""
    reach = math.ceil(REACH * max(scale, 1))
    return max(0, math.floor(start) - reach), min(size, math.ceil(end) + reach)
