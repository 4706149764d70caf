"""Something to paint on: shapes in coordinates that don't depend on the picture's size, and soft randomness."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from app.demo.painter.palette import RGB, Pixels

Field = NDArray[np.floating[Any]]  # (height, width)
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Frame:
    """A part of a canvas with coordinates of its own: its origin and the pixels that a unit takes; y goes down."""

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    across: float
    down: float

    def polygon(self, points: Points, colour: RGB) -> None:
        """Fill the area between points."""
        self.draw.polygon(self._placed(points), fill=colour)

    def line(self, points: Points, width: float, colour: RGB) -> None:
        """Draw through points, as wide as a share of the unit."""
        self.draw.line(self._placed(points), fill=colour, width=max(1, round(width * self.down)), joint="curve")

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: RGB) -> None:
        """Fill a rectangle."""
        self.polygon(((left, top), (right, top), (right, bottom), (left, bottom)), colour)

    def ellipse(self, x: float, y: float, radius: float, colour: RGB, down: float | None = None) -> None:
        """Fill a circle or, with the radius `down`, an ellipse."""
        height = radius if down is None else down
        (left, top), (right, bottom) = self._placed(((x - radius, y - height), (x + radius, y + height)))
        self.draw.ellipse((left, top, max(left, right), max(top, bottom)), fill=colour)

    def arc(self, x: float, y: float, radius: float, start: float, end: float, width: float, colour: RGB) -> None:
        """Draw a part of a circle, from one angle to another in degrees, clockwise from the right."""
        (left, top), (right, bottom) = self._placed(((x - radius, y - radius), (x + radius, y + radius)))
        self.draw.arc((left, top, right, bottom), start, end, fill=colour, width=max(1, round(width * self.down)))

    def _placed(self, points: Points) -> list[tuple[float, float]]:
        return [(self.x + x * self.across, self.y + y * self.down) for x, y in points]


class Canvas:
    """A picture in the making."""

    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.width, self.height, self.rng = width, height, rng
        self.unit = min(width, height)
        self.image = Image.new("RGB", (width, height))
        self._draw = ImageDraw.Draw(self.image)

    @property
    def whole(self) -> Frame:
        """All of it, from (0, 0) at the top left to (1, 1) at the bottom right."""
        return Frame(self._draw, 0, 0, self.width, self.height)

    def at(self, x: float, y: float, size: float) -> Frame:
        """A frame whose origin lies at a point of the whole, with a share of the shorter side as its unit."""
        unit = size * self.unit
        return Frame(self._draw, x * self.width, y * self.height, unit, unit)

    @property
    def pixels(self) -> Pixels:
        """The picture as numbers."""
        return np.asarray(self.image, np.float32)

    @pixels.setter
    def pixels(self, pixels: Pixels) -> None:
        self.image.paste(picture(pixels))

    @property
    def rows(self) -> Field:
        """0 at the top to 1 at the bottom, as a column."""
        return np.linspace(0, 1, self.height, dtype=np.float32)[:, None]

    @property
    def columns(self) -> Field:
        """0 at the left to 1 at the right, as a row."""
        return np.linspace(0, 1, self.width, dtype=np.float32)[None, :]

    def veil(self, cover: Field, colour: RGB) -> None:
        """Lay a colour over the picture, as thick as `cover` says, from 0 to 1."""
        share = np.broadcast_to(np.clip(cover, 0, 1), (self.height, self.width))
        self.image.paste(colour, mask=Image.fromarray((share * 255 + 0.5).astype(np.uint8)))

    def noise(self, across: int, down: int, octaves: int = 3) -> Field:
        """Clouds of randomness from 0 to 1, with so many billows each way."""
        # At half the size: a canvas is twice as large as its picture for the sake of edges, and clouds have none.
        half = noise(self.rng, self.width // 2, self.height // 2, across, down, octaves)
        return np.asarray(Image.fromarray(half).resize((self.width, self.height), Image.Resampling.BILINEAR))

    def uneven(self, count: int, roughness: float = 0.5) -> NDArray[np.float64]:
        """A line of `count` heights from about -1 to 1, as hills have it."""
        line = np.zeros(count)
        for octave in range(5):
            knots = self.rng.normal(0, roughness**octave, 3 * 2**octave + 1)
            line += np.interp(np.linspace(0, len(knots) - 1, count), np.arange(len(knots)), knots)
        return line / 2


def noise(rng: np.random.Generator, width: int, height: int, across: int, down: int, octaves: int) -> Field:
    """Clouds of randomness from 0 to 1."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = rng.random((down * 2**octave + 2, across * 2**octave + 2), np.float32)
        smooth = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(smooth) * 0.5**octave
    whole: Field = np.clip(total / np.float32(2 - 0.5 ** (octaves - 1)), 0, 1)
    return whole


def step(values: Field, start: float, end: float) -> Field:
    """0 below `start`, 1 above `end`, smooth in between."""
    share = np.clip((values - start) / (end - start), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def picture(pixels: Pixels) -> Image.Image:
    """Numbers as a picture."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")
