"""The sea, its ships and its shores."""

import math
from itertools import pairwise

import numpy as np

from app.demo.painter.canvas import Canvas
from app.demo.painter.palette import mix, tone
from app.demo.painter.sky import Outdoors, paint_sky, paint_weather
from app.demo.painter.view import ACROSS, abreast, water
from app.demo.scene import Scene


def seascape(canvas: Canvas, scene: Scene) -> None:
    """The sea, and what is on it or beside it."""
    rng = canvas.rng
    view = paint_sky(canvas, scene, 0.4 if scene.subject == "parasol" else rng.uniform(0.46, 0.56))
    _sea(view)
    {
        "sailing boat": _boats,
        "steamship": _steamship,
        "lighthouse": _lighthouse,
        "rocks": _rocks,
        "waves": _breakers,
        "parasol": _beach,
    }[scene.subject](view)
    if scene.weather in ("clear", "cloudy") and scene.time != "night":
        for _ in range(4):
            gull = canvas.at(rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.35), rng.uniform(0.02, 0.035))
            colour = view.light((70, 74, 84))
            gull.line(((-1, -0.3), (-0.4, -0.6), (0, 0), (0.4, -0.6), (1, -0.3)), 0.16, colour)
    paint_weather(view)


def _sea(view: Outdoors) -> None:
    water(view, view.horizon, 1, (38, 96, 132))
    if view.weather == "storm":
        _swell(view, 5, 0.055)


def _swell(view: Outdoors, rows: int, height: float) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    frame = canvas.whole
    for row in range(rows):
        near = (row + 1) / rows
        base = view.horizon + (1 - view.horizon) * (0.1 + 0.78 * near**1.3)
        crests = 7 - 4 * near
        phase = rng.uniform(0, 2 * math.pi)
        x = np.linspace(0, 1, 70)
        wave = np.abs(np.sin(x * crests * math.pi + phase)) ** 1.6 * height * (0.4 + near)
        points = list(zip(x.tolist(), (base - wave).tolist(), strict=True))
        colour = view.light(mix((34, 92, 118), (8, 34, 58), near * 0.8))
        frame.polygon([*points, (1, base + 0.16), (0, base + 0.16)], colour)
        foam = mix(view.light((244, 250, 252)), (255, 255, 255), 0.25)
        for left, right in pairwise(points):
            if base - left[1] > height * (0.4 + near) * 0.72:
                frame.line((left, right), 0.006 + 0.009 * near, foam)


def _boats(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    for index, x in enumerate(abreast(view.scene)):
        size = (0.34 if view.scene.count == 1 else 0.22) * rng.uniform(0.92, 1.08)
        boat = canvas.at(x, view.horizon + 0.08 + 0.05 * (index % 2) + 0.06 * (view.scene.count == 1), size)
        sail = view.light((250, 246, 234)) if view.time != "dusk" else view.light((255, 225, 205))
        second = view.light(tone(view.scene.accent, 0.55))
        lean = rng.uniform(-0.06, 0.02) if view.weather != "storm" else -0.22
        boat.polygon(((-0.42, -0.08), (0.46, -0.12), (0.3, 0.1), (-0.3, 0.1)), view.light((96, 58, 38)))
        boat.line(((0, -0.1), (lean, -1)), 0.025, view.light((60, 44, 34)))
        boat.polygon(((lean + 0.02, -0.97), (0.03, -0.16), (0.46, -0.2)), sail)
        boat.polygon(((lean - 0.02, -0.86), (-0.04, -0.16), (-0.36, -0.16)), second)


def _steamship(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    ship = canvas.at(ACROSS[view.scene.place], view.horizon + 0.08, 0.42)
    smoke = mix(view.light((110, 110, 112)), view.haze, 0.2)
    for puff in range(9):
        ship.ellipse(0.04 - puff * 0.085, -0.58 - puff * 0.03 + rng.normal(0, 0.012), 0.05 + puff * 0.012, smoke)
    ship.polygon(((-0.62, -0.14), (0.7, -0.2), (0.56, 0.08), (-0.52, 0.08)), view.light((44, 46, 58)))
    ship.rectangle(-0.36, -0.3, 0.34, -0.15, view.light((236, 232, 222)))
    for window in range(6):
        ship.ellipse(-0.28 + window * 0.11, -0.225, 0.025, (255, 222, 120) if view.dark else view.light((60, 80, 110)))
    for funnel in (-0.14, 0.08):
        ship.rectangle(funnel, -0.56, funnel + 0.12, -0.28, view.light((176, 52, 40)))
        ship.rectangle(funnel, -0.56, funnel + 0.12, -0.49, view.light((30, 30, 34)))


def _lighthouse(view: Outdoors) -> None:
    canvas = view.canvas
    x = ACROSS[view.scene.place]
    rock = canvas.at(x, view.horizon + 0.1, 0.3)
    stone = view.light((98, 88, 80))
    rock.polygon(((-0.9, 0.3), (-0.6, -0.02), (-0.2, -0.2), (0.3, -0.18), (0.62, 0.04), (0.95, 0.3)), stone)
    rock.polygon(((-0.9, 0.3), (-0.6, -0.02), (-0.2, -0.2), (-0.3, 0.3)), mix(stone, (20, 20, 30), 0.25))
    tower = canvas.at(x, view.horizon + 0.05, 0.5)
    if view.dark:
        for side in (-1, 1):
            beam = ((0, -0.88), (side * 1.6, -1.12), (side * 1.6, -0.7))
            cover = canvas.image.copy()
            tower.polygon(beam, (255, 244, 190))
            canvas.pixels = np.asarray(cover, np.float32) * 0.55 + canvas.pixels * 0.45
    white, band = view.light((244, 240, 232)), view.light((200, 50, 44))
    tower.polygon(((-0.12, 0), (0.12, 0), (0.08, -0.8), (-0.08, -0.8)), white)
    for stripe in range(3):
        low, high = -0.1 - stripe * 0.26, -0.22 - stripe * 0.26
        wide, narrow = 0.12 + low * 0.05, 0.12 + high * 0.05
        tower.polygon(((-wide, low), (wide, low), (narrow, high), (-narrow, high)), band)
    tower.rectangle(-0.1, -0.84, 0.1, -0.8, view.light((50, 50, 56)))
    tower.rectangle(-0.06, -0.94, 0.06, -0.84, (255, 240, 160) if view.dark else view.light((180, 210, 225)))
    tower.polygon(((-0.09, -0.94), (0.09, -0.94), (0, -1.04)), band)


def _rocks(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    side = {"dusk": -1, "dawn": 1}.get(view.time, -1 if view.scene.place == "left" else 1)  # not before the sun
    cliff = canvas.at(0.5 - side * 0.5 * -1, 1, 1)
    stone = view.light((132, 108, 88))
    for layer in range(3):
        reach, top = 0.62 - layer * 0.17, 0.78 - layer * 0.2
        line = [(-side * reach * (1 - t) ** 0.8, -top * t**0.6 + rng.normal(0, 0.02)) for t in np.linspace(0, 1, 12)]
        cliff.polygon([*line, (side * 0.1, -top), (side * 0.1, 0.1)], mix(stone, (24, 22, 30), 0.14 * layer))
    for _ in range(5):
        rock = canvas.at(
            0.5 - side * rng.uniform(-0.25, 0.3), view.horizon + rng.uniform(0.12, 0.4), rng.uniform(0.04, 0.1)
        )
        rock.polygon(((-1, 0.3), (-0.6, -0.4), (0, -0.8), (0.5, -0.5), (1, 0.3)), mix(stone, (20, 20, 28), 0.3))
        rock.line(((-1.1, 0.32), (1.1, 0.32)), 0.14, view.light((244, 248, 250)))


def _breakers(view: Outdoors) -> None:
    _swell(view, 4, 0.1)


def _beach(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    sand = view.light((236, 210, 158))
    shore = view.horizon + 0.2
    line = [(x, shore + 0.02 * math.sin(7 * x + 1)) for x in np.linspace(0, 1, 30)]
    canvas.whole.line([(x, y - 0.006) for x, y in line], 0.016, view.light((250, 252, 250)))
    canvas.whole.polygon([*line, (1, 1), (0, 1)], sand)
    for index, x in enumerate(abreast(view.scene, 0.23)):
        size = 0.34 if view.scene.count == 1 else 0.24
        parasol = canvas.at(x, shore + 0.3 - 0.06 * (index % 2), size)
        parasol.ellipse(0.12, 0.02, 0.4, mix(sand, (60, 50, 50), 0.35), 0.06)
        parasol.line(((0, 0), (0, -0.9)), 0.035, view.light((110, 84, 60)))
        cloths = (view.light(tone(view.scene.accent, 0.5)), view.light((250, 246, 238)))
        for segment in range(6):
            left, right = -0.6 + segment * 0.2, -0.4 + segment * 0.2
            arch = [(left, -0.55), (left * 0.8, -0.8), (0, -1), (right * 0.8, -0.8), (right, -0.55)]
            parasol.polygon(arch, cloths[segment % 2])
    for _ in range(60):
        canvas.whole.ellipse(
            rng.random(), rng.uniform(shore + 0.06, 1), 0.0022, mix(sand, view.light((150, 120, 80)), 0.5)
        )
