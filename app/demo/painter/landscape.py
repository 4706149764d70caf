"""Land in its seasons."""

import math

import numpy as np

from app.demo.painter.canvas import Canvas, step
from app.demo.painter.palette import RGB, mix
from app.demo.painter.sky import Outdoors, paint_sky, paint_weather
from app.demo.painter.trees import GROUND, meadow, pine, tree
from app.demo.painter.view import ACROSS, abreast
from app.demo.scene import Scene


def landscape(canvas: Canvas, scene: Scene) -> None:
    """Land in its season."""
    view = paint_sky(canvas, scene, canvas.rng.uniform(0.48, 0.58))
    if scene.subject == "mountains":
        _mountains(view)
    _hills(view)
    {
        "mountains": _foothills,
        "tree": _trees,
        "windmill": _windmill,
        "cottage": _cottage,
        "bridge": _bridge,
        "haystack": _haystacks,
        "forest": _forest,
    }[scene.subject](view)
    paint_weather(view)


def _hills(view: Outdoors) -> None:
    canvas = view.canvas
    ground = GROUND[view.season]
    for layer in range(3):
        base = view.horizon + layer * 0.05
        heights = canvas.uneven(60, 0.4) * (0.06 - 0.012 * layer)
        line = [(x, base + float(h)) for x, h in zip(np.linspace(0, 1, 60).tolist(), heights, strict=True)]
        colour = view.far(mix(ground, (40, 70, 60), 0.3 - 0.1 * layer), 0.55 - 0.22 * layer)
        canvas.whole.polygon([*line, (1, 1), (0, 1)], colour)
    near = view.horizon + 0.14
    shade = step(canvas.rows, near, 1) * (0.25 + 0.25 * canvas.noise(3, 8, 3))
    canvas.veil(shade, view.light(mix(ground, (30, 50, 30), 0.55)))
    meadow(canvas.whole, view.season, view.light, canvas.rng, near)


def _mountains(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    centre = ACROSS[view.scene.place]
    for layer, (x, height) in enumerate(((centre - 0.32, 0.3), (centre + 0.36, 0.34), (centre, 0.46))):
        wide = 0.42
        peak = (x + rng.normal(0, 0.02), view.horizon + 0.06 - height)
        stone = view.far((96, 100, 122), 0.5 - 0.14 * layer)
        left = [
            (x - wide * (1 - t) + rng.normal(0, 0.008), view.horizon + 0.08 - height * t) for t in np.linspace(0, 1, 9)
        ]
        right = [
            (x + wide * t + rng.normal(0, 0.008), view.horizon + 0.08 - height * (1 - t)) for t in np.linspace(0, 1, 9)
        ]
        canvas.whole.polygon([*left[:-1], peak, *right[1:]], stone)
        canvas.whole.polygon([peak, *right[1:], (x + 0.06, view.horizon + 0.08)], mix(stone, (24, 28, 50), 0.28))
        snow = view.far((250, 252, 255), 0.12)
        cap = [
            peak,
            right[2],
            (x + 0.06, right[2][1] - 0.03),
            (x + 0.01, right[3][1]),
            (x - 0.05, left[-3][1] - 0.02),
            left[-3],
        ]
        canvas.whole.polygon(cap, snow)


def _foothills(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    for _ in range(9):
        x = float(rng.random())
        pine(canvas.at(x, view.horizon + rng.uniform(0.14, 0.34), rng.uniform(0.1, 0.18)), view.season, view.light)


def _trees(view: Outdoors) -> None:
    canvas, count = view.canvas, view.scene.count
    size = {1: 0.6, 2: 0.46, 3: 0.38}.get(count, 0.32)
    for index, x in enumerate(abreast(view.scene, 0.8 / max(count, 3))):
        foot = canvas.at(x, view.horizon + 0.24 + 0.05 * (index % 2), size)
        foot.ellipse(0.05, 0.01, 0.3, mix(view.light(GROUND[view.season]), (20, 24, 30), 0.4), 0.04)
        tree(foot, view.season, view.light, canvas.rng)


def _windmill(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    mill = canvas.at(ACROSS[view.scene.place], view.horizon + 0.24, 0.56)
    wall = view.light((226, 214, 192))
    mill.polygon(((-0.2, 0), (0.2, 0), (0.12, -0.62), (-0.12, -0.62)), wall)
    mill.polygon(((0.04, 0), (0.2, 0), (0.12, -0.62), (0.03, -0.62)), mix(wall, (40, 40, 50), 0.25))
    mill.polygon(((-0.15, -0.62), (0.15, -0.62), (0, -0.8)), view.light((112, 58, 44)))
    mill.rectangle(-0.05, -0.15, 0.05, 0, view.light((84, 56, 40)))
    mill.ellipse(0, -0.38, 0.035, _window(view))
    turn = rng.uniform(0.2, 1.2)
    for arm in range(4):
        angle = turn + arm * math.pi / 2
        along, beside = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))

        def point(
            far: float, aside: float, along: tuple[float, float] = along, beside: tuple[float, float] = beside
        ) -> tuple[float, float]:
            return along[0] * far + beside[0] * aside, -0.66 + along[1] * far + beside[1] * aside

        sail = view.light((246, 236, 214))
        mill.polygon((point(0.1, 0), point(0.5, 0), point(0.5, 0.12), point(0.1, 0.12)), sail)
        mill.line((point(0, 0), point(0.52, 0)), 0.03, view.light((74, 50, 36)))
        for rung in (0.2, 0.3, 0.4):
            mill.line((point(rung, 0), point(rung, 0.12)), 0.014, view.light((120, 92, 70)))


def _cottage(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    x = ACROSS[view.scene.place]
    side = 0.24 if x < 0.5 else -0.24
    tree(canvas.at(x + side, view.horizon + 0.22, 0.34), view.season, view.light, rng)
    house = canvas.at(x, view.horizon + 0.26, 0.44)
    wall, roof = view.light((240, 228, 206)), view.light((150, 66, 48))
    if view.season == "winter":
        roof = view.light((238, 243, 250))
    house.rectangle(0.2, -0.86, 0.3, -0.5, view.light((130, 74, 60)))
    for puff in range(5):
        house.ellipse(
            0.25 + puff * 0.06,
            -0.92 - puff * 0.09,
            0.04 + 0.014 * puff,
            mix(view.light((216, 216, 218)), view.haze, 0.3),
        )
    house.rectangle(-0.42, -0.42, 0.42, 0, wall)
    house.polygon(((-0.52, -0.4), (0.52, -0.4), (0.34, -0.76), (-0.34, -0.76)), roof)
    house.rectangle(-0.08, -0.28, 0.08, 0, view.light((96, 62, 40)))
    for left in (-0.34, 0.18):
        house.rectangle(left, -0.3, left + 0.16, -0.14, _window(view))
        house.line(((left + 0.08, -0.3), (left + 0.08, -0.14)), 0.015, wall)


def _bridge(view: Outdoors) -> None:
    canvas = view.canvas
    x = ACROSS[view.scene.place]
    bank = view.horizon + 0.13
    stream: list[tuple[float, float]] = []
    for edge in (-1, 1):
        shore = [
            (x + (0.1 * math.sin(4 * t) * t + edge * (0.1 + 0.26 * t)), bank + (1 - bank) * t)
            for t in np.linspace(0, 1, 14)
        ]
        stream.extend(shore if edge < 0 else shore[::-1])
    canvas.whole.polygon(stream, mix(view.haze, view.light((70, 120, 150)), 0.55))
    for index in range(26):
        t = (index / 26) ** 1.3
        y, half = bank + (1 - bank) * t, 0.02 + 0.05 * t
        middle = x + 0.1 * math.sin(4 * t) * t + canvas.rng.normal(0, 0.03 + 0.06 * t)
        canvas.whole.line(((middle - half, y), (middle + half, y)), 0.004, mix(view.haze, (255, 255, 255), 0.3))
    span = canvas.at(x, bank + 0.16, 0.5)
    stone = view.light((176, 158, 134))
    curve = np.linspace(math.pi, 0, 24)
    outer = [(0.86 * math.cos(a), -0.1 - 0.34 * math.sin(a)) for a in curve]
    inner = [(0.44 * math.cos(a), 0.14 - 0.36 * math.sin(a)) for a in curve]
    span.polygon([(-0.86, 0.14), *outer, (0.86, 0.14), *inner[::-1]], stone)
    span.line(outer, 0.05, mix(stone, (255, 255, 255), 0.25))
    span.line(inner, 0.03, mix(stone, (40, 36, 34), 0.45))


def _haystacks(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    for index, x in enumerate(abreast(view.scene, 0.24)):
        stack = canvas.at(x, view.horizon + 0.28 - 0.05 * (index % 2), 0.42 if view.scene.count == 1 else 0.27)
        straw = view.light((226, 178, 86))
        stack.ellipse(0.2, 0.01, 0.6, mix(straw, (30, 26, 40), 0.55), 0.07)
        dome = [(-0.42, 0), (-0.45, -0.34), (-0.3, -0.62), (0, -0.82), (0.3, -0.62), (0.45, -0.34), (0.42, 0)]
        stack.polygon(dome, straw)
        stack.polygon([(0.1, 0), (0.14, -0.4), (0, -0.82), *dome[4:]], mix(straw, (70, 40, 50), 0.35))
        if view.season == "winter":
            stack.polygon(
                [(-0.3, -0.6), (0, -0.86), (0.3, -0.6), (0.1, -0.66), (-0.08, -0.6)], view.light((244, 247, 252))
            )
        for _ in range(40):
            left, top = rng.uniform(-0.4, 0.36), rng.uniform(-0.5, -0.05)
            stack.line(
                ((left, top), (left + rng.normal(0, 0.03), top + 0.1)),
                0.012,
                mix(straw, (250, 230, 160), rng.random() * 0.6),
            )


def _forest(view: Outdoors) -> None:
    canvas, rng = view.canvas, view.canvas.rng
    for depth in range(3):
        base, size = view.horizon + 0.08 + 0.13 * depth, 0.36 + 0.13 * depth
        for index in range(9 - depth * 2):
            x = (index + rng.uniform(0.1, 0.9)) / (9 - depth * 2)
            frame = canvas.at(x, base + rng.normal(0, 0.012), size * rng.uniform(0.85, 1.15))
            if index % 3 == 1 or view.season == "winter":
                pine(frame, view.season, view.light, mix((60, 110, 86), (24, 62, 44), depth / 2))
            else:
                tree(frame, view.season, view.light, rng)


def _window(view: Outdoors) -> RGB:
    return (255, 216, 110) if view.dark else view.light((92, 116, 140))
