"""Streets, skylines, canals and towers."""

import math

import numpy as np

from app.demo.painter.canvas import Canvas, Frame
from app.demo.painter.palette import RGB, mix
from app.demo.painter.sky import Outdoors, paint_sky, paint_weather
from app.demo.painter.view import ACROSS, water
from app.demo.scene import Scene

WALLS: tuple[RGB, ...] = (
    (206, 128, 92),
    (226, 196, 148),
    (176, 96, 80),
    (214, 214, 204),
    (150, 138, 132),
    (196, 166, 120),
)
LAMP: RGB = (255, 216, 110)


def cityscape(canvas: Canvas, scene: Scene) -> None:
    """A place built by people."""
    view = paint_sky(canvas, scene, 0.6)
    {
        "houses": _street,
        "skyscrapers": _skyline,
        "canal": _canal,
        "church": _church,
        "clock tower": _clock_tower,
    }[scene.subject](view)
    paint_weather(view)


def _street(view: Outdoors) -> None:
    _pavement(view, 0.72)
    _row_of_houses(view, 0.74, 5, 0.46)
    _passers_by(view)


def _skyline(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    _pavement(view, 0.84)
    for layer in range(3):
        x = -0.03
        while x < 1:
            wide = rng.uniform(0.075, 0.13)
            peak = 0.2 * math.exp(-(((x + wide / 2 - ACROSS[view.scene.place]) / 0.22) ** 2))
            top = 0.52 - 0.06 * (2 - layer) - peak - rng.uniform(0, 0.12) + 0.1 * layer
            wall = view.far((88, 98, 118), 0.5 - 0.2 * layer)
            canvas.whole.rectangle(x, top, x + wide, 0.9, wall)
            if rng.random() < 0.4:
                canvas.whole.line(((x + wide / 2, top), (x + wide / 2, top - 0.07)), 0.006, wall)
            pane = view.far((176, 198, 214), 0.4 - 0.15 * layer)
            for row in np.arange(top + 0.02, 0.84, 0.034):
                for column in np.arange(x + 0.014, x + wide - 0.014, 0.024):
                    glowing = view.dark and rng.random() < 0.5
                    canvas.whole.rectangle(column, row, column + 0.012, row + 0.016, LAMP if glowing else pane)
            x += wide + rng.uniform(0, 0.02) + 0.03 * (layer == 2)
    canvas.whole.rectangle(0, 0.84, 1, 1, view.light((96, 98, 104)))
    _passers_by(view)


def _canal(view: Outdoors) -> None:
    canvas = view.canvas
    _row_of_houses(view, 0.62, 6, 0.34)
    canvas.whole.rectangle(0, 0.61, 1, 0.66, view.light((120, 104, 92)))
    mirror = canvas.image.crop((0, round(canvas.height * 0.3), canvas.width, round(canvas.height * 0.64)))
    water(view, 0.66, 1, (52, 96, 110))
    surface = canvas.pixels.copy()
    top = canvas.height - mirror.height
    flipped = np.asarray(mirror, np.float32)[::-1]
    surface[top:] = surface[top:] * 0.5 + flipped * 0.5
    canvas.pixels = surface
    span = canvas.at(ACROSS[view.scene.place], 0.72, 0.36)
    stone = view.light((168, 142, 118))
    curve = np.linspace(math.pi, 0, 20)
    outer = [(0.8 * math.cos(a), -0.08 - 0.34 * math.sin(a)) for a in curve]
    inner = [(0.46 * math.cos(a), 0.16 - 0.36 * math.sin(a)) for a in curve]
    span.polygon([(-0.8, 0.16), *outer, (0.8, 0.16), *inner[::-1]], stone)
    span.line(outer, 0.06, mix(stone, (255, 255, 255), 0.3))
    boat = canvas.at(1 - ACROSS[view.scene.place] * 0.9, 0.88, 0.3)
    boat.polygon(((-0.6, -0.14), (0.6, -0.14), (0.4, 0.06), (-0.4, 0.06)), view.light((70, 46, 40)))
    boat.line(((-0.6, -0.14), (0.6, -0.14)), 0.05, view.light((200, 160, 96)))


def _church(view: Outdoors) -> None:
    canvas = view.canvas
    _row_of_houses(view, 0.74, 6, 0.22)
    _pavement(view, 0.74)
    church = canvas.at(ACROSS[view.scene.place], 0.78, 0.7)
    stone, roof = view.light((204, 188, 164)), view.light((84, 92, 108))
    church.rectangle(-0.36, -0.42, 0.36, 0, stone)
    church.polygon(((-0.4, -0.42), (0.4, -0.42), (0.24, -0.6), (-0.24, -0.6)), roof)
    church.rectangle(-0.13, -0.7, 0.13, 0, mix(stone, (255, 255, 255), 0.15))
    church.polygon(((-0.15, -0.7), (0.15, -0.7), (0, -1.1)), roof)
    church.line(((0, -1.1), (0, -1.2)), 0.016, view.light((60, 50, 40)))
    church.line(((-0.035, -1.165), (0.035, -1.165)), 0.016, view.light((60, 50, 40)))
    glass = LAMP if view.dark else view.light((80, 96, 140))
    church.ellipse(0, -0.54, 0.07, glass)
    for x in (-0.28, -0.19, 0.19, 0.28):
        _arched(church, x, -0.14, 0.032, 0.16, glass)
    _arched(church, 0, 0, 0.06, 0.2, view.light((90, 58, 40)))
    _passers_by(view)


def _clock_tower(view: Outdoors) -> None:
    canvas = view.canvas
    _row_of_houses(view, 0.76, 6, 0.24)
    _pavement(view, 0.76)
    tower = canvas.at(ACROSS[view.scene.place], 0.8, 0.74)
    brick, roof = view.light((190, 128, 92)), view.light((72, 104, 98))
    tower.rectangle(-0.13, -0.78, 0.13, 0, brick)
    tower.rectangle(0.04, -0.78, 0.13, 0, mix(brick, (40, 24, 30), 0.25))
    tower.rectangle(-0.16, -0.8, 0.16, -0.76, mix(brick, (255, 255, 255), 0.3))
    tower.polygon(((-0.14, -0.8), (0.14, -0.8), (0, -1.06)), roof)
    tower.ellipse(0, -0.62, 0.115, view.light((60, 44, 40)))
    tower.ellipse(0, -0.62, 0.1, (255, 246, 200) if view.dark else view.light((252, 248, 234)))
    hour = canvas.rng.uniform(0, 2 * math.pi)
    for angle, reach in ((hour, 0.055), (hour * 12, 0.085)):
        tower.line(((0, -0.62), (math.sin(angle) * reach, -0.62 - math.cos(angle) * reach)), 0.018, (30, 26, 30))
    for y in (-0.4, -0.2):
        _arched(tower, 0, y + 0.06, 0.035, 0.12, LAMP if view.dark else view.light((70, 80, 100)))
    _passers_by(view)


def _arched(frame: Frame, x: float, foot: float, half: float, height: float, colour: RGB) -> None:
    frame.rectangle(x - half, foot - height + half, x + half, foot, colour)
    frame.ellipse(x, foot - height + half, half, colour)


def _row_of_houses(view: Outdoors, foot: float, count: int, height: float) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    frame = canvas.whole
    wide = 1.04 / count
    for index in range(count):
        left = -0.02 + index * wide
        right, tall = left + wide, height * rng.uniform(0.72, 1)
        wall = view.light(WALLS[int(rng.integers(len(WALLS)))])
        eaves, middle = foot - tall * 0.78, (left + right) / 2
        roof = view.light((128, 66, 52)) if view.weather != "snow" else view.light((240, 244, 250))
        gable = int(rng.integers(3))
        if gable == 0:
            frame.polygon(((left, eaves), (right, eaves), (middle, foot - tall)), roof)
        elif gable == 1:
            stair = 0.055 * tall
            for stage in range(4):
                inset = (stage + 1) * wide / 9
                frame.rectangle(left + inset, eaves - (stage + 1) * stair, right - inset, eaves, wall)
        else:
            frame.polygon(
                (
                    (left, eaves),
                    (right, eaves),
                    (right - wide * 0.2, foot - tall * 0.95),
                    (left + wide * 0.2, foot - tall * 0.95),
                ),
                roof,
            )
        frame.rectangle(left, eaves, right, foot, wall)
        frame.line(((left, eaves), (left, foot)), 0.004, mix(wall, (20, 16, 20), 0.4))
        for row in range(3):
            for column in range(2):
                x = left + wide * (0.2 + 0.36 * column)
                y = eaves + tall * (0.08 + 0.24 * row)
                glowing = view.dark and rng.random() < 0.62
                pane = LAMP if glowing else view.light((72, 92, 112))
                frame.rectangle(x, y, x + wide * 0.22, y + tall * 0.13, pane)
        frame.rectangle(middle - wide * 0.09, foot - tall * 0.14, middle + wide * 0.09, foot, view.light((74, 50, 40)))


def _pavement(view: Outdoors, top: float) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    stone = view.light((238, 242, 248) if view.weather == "snow" else (168, 158, 146))
    canvas.whole.rectangle(0, top, 1, 1, stone)
    for index in range(60):
        near = (index / 60) ** 1.5
        x, y = rng.random(), top + (1 - top) * near
        canvas.whole.line(((x, y), (x + 0.03 + 0.05 * near, y)), 0.003, mix(stone, (40, 36, 40), 0.25))
    if view.weather in ("rain", "storm"):
        for _ in range(26):
            x, y = rng.random(), rng.uniform(top + 0.02, 1)
            canvas.whole.ellipse(x, y, rng.uniform(0.02, 0.06), mix(stone, view.haze, 0.6), 0.008)


def _passers_by(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    for index in range(3):
        person = canvas.at(0.16 + 0.3 * index + rng.uniform(0, 0.12), 0.94 - rng.uniform(0, 0.07), 0.15)
        coat = view.light(((60, 50, 60), (110, 40, 40), (40, 60, 96))[int(rng.integers(3))])
        person.polygon(((-0.17, 0), (0.17, 0), (0.11, -0.74), (-0.11, -0.74)), coat)
        person.ellipse(0, -0.84, 0.1, view.light((232, 196, 166)))
        if view.weather in ("rain", "storm", "snow"):
            person.line(((0.12, -0.5), (0.12, -1.2)), 0.04, view.light((50, 40, 36)))
            person.polygon(
                ((-0.28, -1.08), (-0.1, -1.3), (0.12, -1.38), (0.34, -1.3), (0.52, -1.08)), view.light((190, 60, 56))
            )
