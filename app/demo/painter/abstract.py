"""Pictures of nothing but form and colour."""

import math

import numpy as np

from app.demo.painter.canvas import Canvas, step
from app.demo.painter.palette import RGB, mix, tone
from app.demo.scene import Scene


def abstract(canvas: Canvas, scene: Scene) -> None:
    """Shapes on a ground, in a colour, its tones, and one other."""
    rng = canvas.rng
    pale = rng.random() < 0.6
    ground = tone(scene.colour, rng.uniform(0.78, 0.92) if pale else rng.uniform(0.12, 0.26))
    canvas.whole.rectangle(0, 0, 1, 1, ground)
    canvas.veil(step(canvas.noise(3, 3, 4), 0.4, 0.8) * 0.3, mix(ground, tone(scene.colour, 0.5), 0.5))
    tones = [tone(scene.colour, 0.5), tone(scene.accent, 0.5), tone(scene.colour, 0.3 if pale else 0.72)]
    if scene.subject in ("circle", "square", "triangle"):
        _shapes(canvas, scene, tones)
    else:
        {"stripes": _stripes, "grid": _grid, "spiral": _spiral, "curves": _curves}[scene.subject](canvas, tones)


def _shapes(canvas: Canvas, scene: Scene, tones: list[RGB]) -> None:
    rng = canvas.rng
    size = {1: 0.32, 2: 0.23, 3: 0.19, 4: 0.17}.get(scene.count, 0.14)
    spots = _spread(scene.count, rng)
    for index, (x, y) in enumerate(spots):
        shape = canvas.at(x, y, size * rng.uniform(0.86, 1.1))
        colour = tones[index % 2] if scene.count > 1 else tones[0]
        if scene.subject == "circle":
            shape.ellipse(0, 0, 1, colour)
            shape.ellipse(0, 0, 0.5, mix(colour, (255, 255, 255), 0.4))
            continue
        corners = 4 if scene.subject == "square" else 3
        turn = rng.uniform(-0.25, 0.25) + (math.pi / 4 if corners == 4 else -math.pi / 2)
        for reach, fill in ((1.2, colour), (0.55, mix(colour, (255, 255, 255), 0.4))):
            around = [turn + corner * 2 * math.pi / corners for corner in range(corners)]
            shape.polygon([(reach * math.cos(a), reach * math.sin(a)) for a in around], fill)


def _spread(count: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Places for so many shapes that don't cover each other, not too orderly."""
    layouts = {
        1: [(0.5, 0.5)],
        2: [(0.32, 0.38), (0.68, 0.64)],
        3: [(0.3, 0.3), (0.7, 0.42), (0.42, 0.73)],
        4: [(0.29, 0.29), (0.71, 0.32), (0.31, 0.71), (0.7, 0.7)],
        5: [(0.26, 0.26), (0.74, 0.27), (0.5, 0.5), (0.26, 0.74), (0.74, 0.74)],
        6: [(0.22, 0.3), (0.5, 0.25), (0.78, 0.32), (0.23, 0.7), (0.51, 0.75), (0.78, 0.69)],
    }
    turned = rng.random() < 0.5
    return [((1 - x if turned else x) + rng.normal(0, 0.015), y + rng.normal(0, 0.015)) for x, y in layouts[count]]


def _stripes(canvas: Canvas, tones: list[RGB]) -> None:
    rng = canvas.rng
    upright, edge, index = rng.random() < 0.5, 0.0, 0
    while edge < 1:
        wide = rng.uniform(0.04, 0.13)
        colour = tones[(0, 2, 1)[index % 3]]
        if upright:
            canvas.whole.rectangle(edge, 0, edge + wide * 0.72, 1, colour)
        else:
            canvas.whole.rectangle(0, edge, 1, edge + wide * 0.72, colour)
        edge, index = edge + wide, index + 1


def _grid(canvas: Canvas, tones: list[RGB]) -> None:
    rng = canvas.rng
    xs = [0.0, *np.sort(rng.uniform(0.12, 0.88, 3)).tolist(), 1.0]
    ys = [0.0, *np.sort(rng.uniform(0.12, 0.88, 3)).tolist(), 1.0]
    for row in range(4):
        for column in range(4):
            if rng.random() < 0.55:
                colour = tones[int(rng.choice(3, p=(0.55, 0.2, 0.25)))]
                canvas.whole.rectangle(xs[column], ys[row], xs[column + 1], ys[row + 1], colour)
    for x in xs[1:-1]:
        canvas.whole.line(((x, 0), (x, 1)), 0.02, (24, 22, 26))
    for y in ys[1:-1]:
        canvas.whole.line(((0, y), (1, y)), 0.02, (24, 22, 26))


def _spiral(canvas: Canvas, tones: list[RGB]) -> None:
    middle = canvas.at(0.5, 0.5, 0.46)
    turns = canvas.rng.uniform(3, 4.5)
    clockwise = 1 if canvas.rng.random() < 0.5 else -1
    angles = np.linspace(0, turns * 2 * math.pi, 240)
    points = [(a / angles[-1] * math.cos(clockwise * a), a / angles[-1] * math.sin(a)) for a in angles]
    middle.line(points, 0.1, tones[0])
    middle.line(points[: len(points) // 3], 0.1, tones[1])


def _curves(canvas: Canvas, tones: list[RGB]) -> None:
    rng = canvas.rng
    x = np.linspace(0, 1, 60)
    for band in range(7):
        middle = 0.1 + 0.8 * band / 6
        wave = middle + 0.07 * np.sin(2 * math.pi * (x * rng.uniform(0.9, 1.6) + rng.random()))
        canvas.whole.line(
            list(zip(x.tolist(), wave.tolist(), strict=True)), rng.uniform(0.03, 0.06), tones[(0, 2, 1)[band % 3]]
        )
