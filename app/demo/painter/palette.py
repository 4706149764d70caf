"""Colours: what a colour's name looks like from dark to light, and what the time of day does to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.demo.scene import Colour, Time

RGB = tuple[int, int, int]
Pixels = NDArray[np.floating[Any]]  # (height, width, 3), 0 to 255

# A colour's shadow, its own tone, and its light.
RAMPS: Mapping[Colour, tuple[RGB, RGB, RGB]] = {
    "red": ((52, 4, 10), (196, 38, 40), (252, 216, 204)),
    "orange": ((62, 24, 4), (232, 122, 24), (255, 232, 200)),
    "yellow": ((58, 46, 6), (228, 190, 36), (255, 250, 206)),
    "green": ((6, 38, 20), (64, 148, 74), (226, 245, 212)),
    "blue": ((8, 20, 66), (44, 104, 200), (216, 232, 252)),
    "purple": ((34, 8, 60), (122, 62, 178), (238, 222, 250)),
    "pink": ((74, 12, 44), (236, 108, 160), (255, 228, 238)),
    "grey": ((18, 18, 20), (122, 122, 124), (242, 242, 240)),
}
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def mix(one: RGB, other: RGB, share: float) -> RGB:
    """A colour between two; `share` is how much of the other."""
    r, g, b = (round(a + (z - a) * share) for a, z in zip(one, other, strict=True))
    return r, g, b


def tone(colour: Colour, lightness: float) -> RGB:
    """A colour's tone at a lightness from 0 to 1."""
    dark, middle, light = RAMPS[colour]
    if lightness < 0.5:
        return mix(dark, middle, max(0.0, lightness) * 2)
    return mix(middle, light, min(1.0, lightness) * 2 - 1)


def graded(pixels: Pixels, colour: Colour, strength: float) -> Pixels:
    """A picture drawn towards one colour, its lights and shadows kept."""
    lightness = pixels @ LUMINANCE
    toned = np.stack(
        [np.interp(lightness, (0, 115, 255), [stop[channel] for stop in RAMPS[colour]]) for channel in range(3)],
        axis=-1,
    )
    return (pixels * (1 - strength) + toned * strength).astype(np.float32)


@dataclass(frozen=True)
class Light:
    """What a time of day does to colours, and the sky that comes with it: at the top, in the middle, at the horizon."""

    tint: tuple[float, float, float]
    lift: int
    sky: tuple[RGB, RGB, RGB]
    brightness: float

    def __call__(self, colour: RGB) -> RGB:
        """A colour in this light."""
        r, g, b = (min(255, round(value * tint + self.lift)) for value, tint in zip(colour, self.tint, strict=True))
        return r, g, b


LIGHTS: Mapping[Time, Light] = {
    "dawn": Light((0.66, 0.60, 0.66), 26, ((84, 92, 142), (190, 160, 186), (255, 240, 214)), 0.8),
    "day": Light((1.0, 1.0, 1.0), 0, ((84, 144, 214), (150, 194, 232), (212, 230, 242)), 1.0),
    "dusk": Light((0.50, 0.35, 0.37), 0, ((50, 38, 84), (150, 62, 74), (232, 122, 62)), 0.55),
    "night": Light((0.40, 0.44, 0.58), 0, ((8, 12, 36), (18, 24, 60), (40, 50, 92)), 0.28),
}
INDOORS = Light((0.96, 0.94, 0.9), 0, ((0, 0, 0), (0, 0, 0), (0, 0, 0)), 1.0)
