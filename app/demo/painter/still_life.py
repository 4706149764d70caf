"""Still lifes: things on a table."""

import math

import numpy as np

from app.demo.painter.canvas import Canvas, Frame, step
from app.demo.painter.palette import RGB, mix, tone
from app.demo.scene import Scene

DARK: RGB = (34, 24, 30)
EDGE = 0.58  # where the table begins


def still_life(canvas: Canvas, scene: Scene) -> None:
    """A table with a cloth, a wall behind it, and light from the left."""
    rng = canvas.rng
    wall = mix(tone(scene.colour, rng.uniform(0.2, 0.6)), (60, 50, 50), 0.15)
    cloth = tone(scene.colour, 0.78 if sum(wall) < 380 else 0.32)
    canvas.whole.rectangle(0, 0, 1, 1, wall)
    glow = np.exp(-(((canvas.columns - 0.25) / 0.5) ** 2 + ((canvas.rows - 0.2) / 0.5) ** 2)) * 0.45
    canvas.veil(glow, mix(wall, (255, 244, 220), 0.6))
    canvas.veil(step(canvas.noise(4, 5, 4), 0.45, 0.85) * 0.25, mix(wall, DARK, 0.6))
    canvas.whole.rectangle(0, EDGE, 1, 1, cloth)
    canvas.whole.rectangle(0, EDGE, 1, EDGE + 0.012, mix(cloth, (255, 255, 255), 0.4))
    for _ in range(9):
        x = rng.random()
        canvas.whole.line(((x, EDGE + 0.14), (x + rng.normal(0, 0.05), 1)), 0.012, mix(cloth, DARK, 0.22))
    x = {"left": 0.38, "centre": 0.5, "right": 0.62}[scene.place]
    if scene.subject in ("apple", "lemon", "pear"):
        _fruit(canvas, scene, x)
    elif scene.subject == "candle":
        _candles(canvas, scene, x)
    elif scene.subject == "fish":
        _plate(canvas.at(x, EDGE + 0.14, 0.66), scene, cloth)
    else:
        place = canvas.at(x, EDGE + 0.19, 0.66)
        if scene.subject == "flowers":
            _flowers(place, scene, rng)
        elif scene.subject == "books":
            _books(place, rng)
        else:
            {"bottle": _bottle, "skull": _skull}[scene.subject](place)


def _shadow(frame: Frame, wide: float) -> None:
    frame.ellipse(wide * 0.35, 0, wide, DARK, wide * 0.16)


def _fruit(canvas: Canvas, scene: Scene, x: float) -> None:
    rng = canvas.rng
    size = {1: 0.44, 2: 0.36, 3: 0.29, 4: 0.23}.get(scene.count, 0.19)
    x = 0.5 + (x - 0.5) * max(0.0, 1 - 0.25 * (scene.count - 1))
    for index in range(scene.count):
        offset = (index - (scene.count - 1) / 2) * size * 0.98
        fruit = canvas.at(x + offset * canvas.unit / canvas.width, 0.74 + 0.05 * (index % 2), size)
        _shadow(fruit, 0.42)
        if scene.subject == "apple":
            _apple(fruit, rng)
        elif scene.subject == "lemon":
            _lemon(fruit)
        else:
            _pear(fruit)


def _apple(frame: Frame, rng: np.random.Generator) -> None:
    skin: RGB = ((204, 34, 38), (190, 46, 40), (176, 30, 44))[int(rng.integers(3))]
    for x in (-0.12, 0.12):
        frame.ellipse(x, -0.38, 0.32, skin, 0.38)
    frame.ellipse(0.16, -0.3, 0.24, mix(skin, DARK, 0.28), 0.3)
    frame.ellipse(-0.16, -0.52, 0.09, mix(skin, (255, 255, 255), 0.6), 0.11)
    frame.line(((0, -0.7), (0.05, -0.92)), 0.06, (82, 56, 34))
    frame.polygon(((0.05, -0.84), (0.22, -1.0), (0.34, -0.9), (0.18, -0.8)), (86, 142, 60))


def _lemon(frame: Frame) -> None:
    skin: RGB = (250, 218, 40)
    frame.ellipse(0, -0.28, 0.42, skin, 0.29)
    frame.polygon(((-0.56, -0.28), (-0.34, -0.42), (-0.34, -0.14)), skin)
    frame.polygon(((0.56, -0.28), (0.34, -0.42), (0.34, -0.14)), skin)
    frame.ellipse(0.1, -0.2, 0.28, mix(skin, (150, 110, 10), 0.3), 0.18)
    frame.ellipse(-0.14, -0.4, 0.12, mix(skin, (255, 255, 255), 0.65), 0.07)


def _pear(frame: Frame) -> None:
    skin: RGB = (168, 190, 62)
    frame.ellipse(0, -0.34, 0.38, skin, 0.36)
    frame.ellipse(0, -0.76, 0.2, skin, 0.28)
    frame.polygon(((-0.34, -0.48), (0.34, -0.48), (0.19, -0.84), (-0.19, -0.84)), skin)
    frame.ellipse(0.14, -0.3, 0.2, mix(skin, (90, 90, 20), 0.35), 0.26)
    frame.ellipse(-0.13, -0.46, 0.08, mix(skin, (255, 255, 255), 0.55), 0.12)
    frame.line(((0, -1.02), (0.07, -1.2)), 0.06, (82, 56, 34))


def _flowers(frame: Frame, scene: Scene, rng: np.random.Generator) -> None:
    _shadow(frame, 0.3)
    vase = tone(scene.accent, 0.5)
    heads = [(rng.uniform(-0.34, 0.34), rng.uniform(-1.05, -0.62)) for _ in range(2)]
    heads += [(-0.3, -0.7), (-0.16, -0.95), (0.02, -0.74), (0.2, -0.98), (0.33, -0.68), (0.0, -1.06)]
    for x, y in heads:
        frame.line(((0, -0.4), (x * 0.5, (y - 0.4) / 2), (x, y)), 0.02, (60, 110, 56))
    for x in (-0.24, 0.22):
        frame.polygon(((0, -0.42), (x, -0.5), (x * 1.4, -0.62)), (76, 132, 66))
    for x, y in heads:
        {"tulips": _tulip, "sunflowers": _sunflower, "roses": _rose}[scene.detail](frame, x, y)
    body = [
        (-0.08, -0.44),
        (-0.2, -0.26),
        (-0.17, -0.06),
        (-0.1, 0),
        (0.1, 0),
        (0.17, -0.06),
        (0.2, -0.26),
        (0.08, -0.44),
    ]
    frame.polygon(body, vase)
    frame.polygon([(0.05, -0.44), (0.1, -0.2), (0.04, 0), *body[4:]], mix(vase, DARK, 0.3))
    frame.ellipse(-0.1, -0.26, 0.025, mix(vase, (255, 255, 255), 0.7), 0.08)


def _tulip(frame: Frame, x: float, y: float) -> None:
    frame.polygon(
        (
            (x - 0.09, y - 0.11),
            (x - 0.045, y - 0.03),
            (x, y - 0.13),
            (x + 0.045, y - 0.03),
            (x + 0.09, y - 0.11),
            (x + 0.07, y + 0.07),
            (x, y + 0.11),
            (x - 0.07, y + 0.07),
        ),
        (222, 52, 66),
    )


def _sunflower(frame: Frame, x: float, y: float) -> None:
    for petal in range(12):
        angle = petal * math.pi / 6
        tip = (x + 0.15 * math.cos(angle), y + 0.15 * math.sin(angle))
        beside = (0.04 * math.sin(angle), -0.04 * math.cos(angle))
        frame.polygon(((x + beside[0], y + beside[1]), tip, (x - beside[0], y - beside[1])), (250, 196, 30))
    frame.ellipse(x, y, 0.068, (84, 50, 24))


def _rose(frame: Frame, x: float, y: float) -> None:
    for ring, radius in enumerate((0.115, 0.085, 0.055, 0.028)):
        shade = mix((250, 190, 205), (200, 70, 110), ring / 3)
        frame.ellipse(x + 0.008 * ring, y - 0.006 * ring, radius, shade)


def _bottle(frame: Frame) -> None:
    _shadow(frame, 0.3)
    glass = (34, 74, 50)
    frame.polygon(
        (
            (-0.2, 0),
            (0.02, 0),
            (0.02, -0.62),
            (-0.04, -0.76),
            (-0.04, -1.02),
            (-0.14, -1.02),
            (-0.14, -0.76),
            (-0.2, -0.62),
        ),
        glass,
    )
    frame.rectangle(-0.2, -0.48, 0.02, -0.2, (238, 226, 196))
    frame.rectangle(-0.17, -0.56, -0.145, -0.06, mix(glass, (255, 255, 255), 0.5))
    wine = (128, 20, 40)
    frame.ellipse(0.3, 0, 0.11, (220, 222, 224), 0.03)
    frame.line(((0.3, 0), (0.3, -0.28)), 0.025, (220, 222, 224))
    frame.ellipse(0.3, -0.42, 0.13, (224, 228, 230), 0.17)
    frame.polygon(((0.17, -0.44), (0.43, -0.44), (0.38, -0.3), (0.3, -0.26), (0.22, -0.3)), wine)


def _candles(canvas: Canvas, scene: Scene, x: float) -> None:
    middle = 0.5 + (x - 0.5) * (1.4 - 0.4 * scene.count)
    for index in range(scene.count):
        _candle(canvas.at(middle + (index - (scene.count - 1) / 2) * 0.24, EDGE + 0.16, 0.6), canvas)


def _candle(frame: Frame, canvas: Canvas) -> None:
    across = (canvas.columns * canvas.width - frame.x) / frame.across
    down = (canvas.rows * canvas.height - frame.y) / frame.down + 0.9
    canvas.veil(np.exp(-((across / 0.4) ** 2 + (down / 0.45) ** 2)) * 0.7, (255, 214, 120))
    brass: RGB = (196, 150, 62)
    frame.ellipse(0, 0, 0.2, brass, 0.05)
    frame.polygon(((-0.04, 0), (0.04, 0), (0.09, -0.2), (-0.09, -0.2)), mix(brass, DARK, 0.2))
    frame.rectangle(-0.055, -0.7, 0.055, -0.18, (248, 240, 220))
    frame.rectangle(0.015, -0.7, 0.055, -0.18, (222, 206, 176))
    frame.line(((0, -0.7), (0, -0.76)), 0.02, DARK)
    frame.polygon(((0, -1.02), (0.06, -0.84), (0, -0.74), (-0.06, -0.84)), (255, 172, 46))
    frame.polygon(((0, -0.94), (0.03, -0.83), (0, -0.77), (-0.03, -0.83)), (255, 246, 196))


def _books(frame: Frame, rng: np.random.Generator) -> None:
    _shadow(frame, 0.5)
    covers: list[RGB] = [(146, 44, 44), (40, 72, 110), (196, 150, 60), (52, 96, 66)]
    top = 0.0
    for index in range(4):
        wide, thick, shift = 0.46 - 0.03 * index, 0.12, rng.normal(0, 0.03)
        frame.rectangle(shift - wide, top - thick, shift + wide, top, covers[index])
        frame.rectangle(shift - wide + 0.03, top - thick + 0.025, shift + wide, top - 0.025, (242, 234, 212))
        frame.rectangle(shift - wide, top - thick, shift - wide + 0.12, top, covers[index])
        top -= thick
    frame.polygon(((-0.34, top), (0.02, top - 0.14), (0.38, top), (0.02, top + 0.06)), (250, 246, 232))
    frame.line(((0.02, top - 0.14), (0.02, top + 0.06)), 0.016, (150, 140, 120))


def _plate(frame: Frame, scene: Scene, cloth: RGB) -> None:
    frame.ellipse(0.03, 0.04, 0.56, mix(cloth, DARK, 0.45), 0.17)
    frame.ellipse(0, 0, 0.54, (240, 238, 232), 0.17)
    frame.ellipse(0, 0, 0.42, (222, 222, 220), 0.12)
    for index in range(scene.count):
        _fish(frame, -0.02 - 0.11 * (scene.count - 1) / 2 + 0.14 * index)


def _fish(frame: Frame, y: float) -> None:
    scales: RGB = (120, 146, 164)
    frame.ellipse(-0.03, y, 0.3, scales, 0.075)
    frame.ellipse(-0.03, y + 0.03, 0.26, mix(scales, (255, 255, 255), 0.5), 0.04)
    frame.polygon(((0.22, y), (0.42, y - 0.1), (0.38, y), (0.42, y + 0.1)), mix(scales, DARK, 0.2))
    frame.polygon(((-0.06, y - 0.06), (0.1, y - 0.13), (0.14, y - 0.04)), mix(scales, DARK, 0.3))
    frame.ellipse(-0.24, y - 0.015, 0.024, (250, 250, 246))
    frame.ellipse(-0.24, y - 0.015, 0.012, DARK)
    frame.line(((-0.16, y - 0.055), (-0.14, y), (-0.16, y + 0.055)), 0.012, mix(scales, DARK, 0.4))


def _skull(frame: Frame) -> None:
    _shadow(frame, 0.36)
    bone: RGB = (236, 224, 196)
    frame.ellipse(0, -0.52, 0.37, bone, 0.36)
    frame.polygon(((-0.22, -0.3), (0.22, -0.3), (0.17, 0), (-0.17, 0)), bone)
    frame.ellipse(0.16, -0.5, 0.2, mix(bone, DARK, 0.14), 0.3)
    for side in (-1, 1):
        frame.ellipse(side * 0.145, -0.42, 0.1, DARK, 0.095)
    frame.polygon(((0, -0.32), (0.055, -0.2), (-0.055, -0.2)), DARK)
    for tooth in range(5):
        x = -0.12 + tooth * 0.06
        frame.line(((x, -0.12), (x, -0.01)), 0.016, mix(bone, DARK, 0.7))
    frame.line(((-0.17, -0.07), (0.17, -0.07)), 0.014, mix(bone, DARK, 0.7))
