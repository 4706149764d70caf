"""Trees and other growing things, as the season has them."""

import math
from collections.abc import Mapping

import numpy as np

from app.demo.painter.canvas import Frame
from app.demo.painter.palette import RGB, Light, mix
from app.demo.scene import Season

BARK: RGB = (82, 62, 46)
LEAVES: Mapping[Season, tuple[RGB, RGB]] = {
    "spring": ((150, 196, 110), (250, 206, 222)),
    "summer": ((40, 104, 48), (98, 158, 70)),
    "autumn": ((186, 76, 22), (238, 160, 44)),
    "winter": ((120, 110, 100), (236, 240, 246)),
}
GROUND: Mapping[Season, RGB] = {
    "spring": (142, 188, 104),
    "summer": (112, 158, 70),
    "autumn": (182, 142, 78),
    "winter": (234, 239, 246),
}


def tree(frame: Frame, season: Season, light: Light, rng: np.random.Generator) -> None:
    """A tree that stands at the frame's origin and is about one unit high."""
    bark = light(BARK)
    if season == "winter":
        _branch(frame, (0, 0), -math.pi / 2, 0.34, 0.07, bark, rng, 6)
        return
    frame.polygon(((-0.05, 0), (0.05, 0), (0.03, -0.5), (-0.03, -0.5)), bark)
    for side in (-1, 1):
        frame.line(((0, -0.32), (side * 0.16, -0.55)), 0.035, bark)
    dark, bright = LEAVES[season]
    thin = season == "autumn"
    for index in range(70 if thin else 46):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random())
        x, y = 0.34 * reach * math.cos(angle), -0.66 - 0.3 * reach * math.sin(angle)
        share = min(1.0, max(0.0, (-0.45 - y) / 0.5 + rng.normal(0, 0.16)))
        if season == "spring":
            share = 1.0 if index % 3 else 0.0
        frame.ellipse(
            x, y, rng.uniform(0.028, 0.05) if thin else rng.uniform(0.06, 0.1), light(mix(dark, bright, share))
        )
    if thin:
        for _ in range(22):
            frame.ellipse(rng.normal(0, 0.3), rng.uniform(-0.02, 0.07), 0.022, light(mix(dark, bright, rng.random())))


def pine(frame: Frame, season: Season, light: Light, colour: RGB = (36, 84, 58)) -> None:
    """A conifer of one unit, under snow in winter."""
    frame.rectangle(-0.03, -0.14, 0.03, 0, light(BARK))
    for tier in range(4):
        top, wide = -1 + tier * 0.2, 0.13 + tier * 0.06
        frame.polygon(((0, top), (wide, top + 0.34), (-wide, top + 0.34)), light(mix(colour, (12, 30, 26), tier / 6)))
        if season == "winter":
            snow = light((240, 244, 250))
            frame.polygon(((0, top), (wide * 0.62, top + 0.2), (0.02, top + 0.13), (-wide * 0.5, top + 0.19)), snow)


def meadow(frame: Frame, season: Season, light: Light, rng: np.random.Generator, top: float) -> None:
    """What is strewn over the ground of a whole picture below `top`: flowers, grass, leaves, or nothing but snow."""
    strewn: Mapping[Season, tuple[RGB, ...]] = {
        "spring": ((252, 196, 218), (255, 255, 248), (250, 226, 90)),
        "summer": ((86, 128, 50), (168, 188, 88), (74, 116, 46)),
        "autumn": ((206, 96, 30), (232, 158, 46), (150, 66, 26)),
        "winter": ((208, 220, 236),),
    }
    for _ in range(130):
        near = math.sqrt(rng.random())
        x, y = rng.random(), top + (1 - top) * near
        colour = light(strewn[season][int(rng.integers(len(strewn[season])))])
        size = 0.003 + 0.007 * near
        if season == "summer":
            frame.line(((x, y), (x + rng.normal(0, 0.004), y - 3 * size)), 0.004, colour)
        else:
            frame.ellipse(x, y, size, colour, size * 0.8)


def _branch(
    frame: Frame,
    start: tuple[float, float],
    angle: float,
    length: float,
    width: float,
    colour: RGB,
    rng: np.random.Generator,
    generations: int,
) -> None:
    end = start[0] + math.cos(angle) * length, start[1] + math.sin(angle) * length
    frame.line((start, end), width, colour)
    if generations:
        for turn in (-0.45, 0.42):
            _branch(
                frame,
                end,
                angle + turn + rng.normal(0, 0.12),
                length * 0.72,
                width * 0.66,
                colour,
                rng,
                generations - 1,
            )
