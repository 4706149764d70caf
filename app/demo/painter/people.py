"""Portraits."""

import math
from collections.abc import Sequence

import numpy as np

from app.demo.painter.canvas import Canvas, Frame, step
from app.demo.painter.palette import RGB, mix, tone
from app.demo.scene import Scene

SKIN: Sequence[RGB] = ((246, 214, 188), (232, 190, 158), (206, 156, 120), (150, 102, 74), (104, 68, 50))
HAIR: Sequence[RGB] = ((40, 30, 28), (92, 58, 36), (214, 170, 92), (164, 76, 36), (190, 188, 186))
DARK: RGB = (42, 30, 32)


def portrait(canvas: Canvas, scene: Scene) -> None:
    """One person or two, from the chest up, before a plain ground."""
    rng = canvas.rng
    ground = mix(tone(scene.colour, rng.uniform(0.25, 0.75)), tone(scene.accent, 0.5), 0.2)
    canvas.whole.rectangle(0, 0, 1, 1, ground)
    glow = np.exp(-(((canvas.columns - 0.4) / 0.4) ** 2 + ((canvas.rows - 0.35) / 0.45) ** 2))
    canvas.veil(glow * 0.4, mix(ground, (255, 246, 228), 0.6))
    canvas.veil(step(canvas.noise(4, 4, 4), 0.4, 0.8) * 0.22, mix(ground, (20, 16, 20), 0.6))
    dress = tone(scene.colour, rng.uniform(0.42, 0.58))
    if scene.subject == "couple":
        _person(canvas.at(0.31, 0.47, 0.48), rng, woman=False, detail="", dress=mix(dress, DARK, 0.45))
        _person(canvas.at(0.69, 0.55, 0.48), rng, woman=True, detail="", dress=dress)
    else:
        middle = {"left": 0.42, "centre": 0.5, "right": 0.58}[scene.place]
        woman = scene.subject == "woman"
        _person(
            canvas.at(middle, 0.46, 0.78),
            rng,
            woman=woman,
            detail=scene.detail,
            dress=dress,
            accent=tone(scene.accent, 0.52),
        )


def _person(
    frame: Frame, rng: np.random.Generator, *, woman: bool, detail: str, dress: RGB, accent: RGB = (214, 60, 60)
) -> None:
    """A person whose face is centred on the frame's origin; the head is about 0.5 units high."""
    skin = SKIN[int(rng.integers(len(SKIN)))]
    hair = HAIR[int(rng.integers(len(HAIR)))]
    if woman:  # long hair, behind everything
        frame.ellipse(0, -0.02, 0.27, hair, 0.33)
        frame.polygon(((-0.27, 0), (0.27, 0), (0.31, 0.46), (-0.31, 0.46)), hair)
    _body(frame, dress, woman=woman)
    frame.polygon(((-0.085, 0.1), (0.085, 0.1), (0.1, 0.4), (-0.1, 0.4)), mix(skin, DARK, 0.22))
    if woman:
        frame.polygon(((-0.17, 0.38), (0.17, 0.38), (0, 0.56)), mix(skin, DARK, 0.06))
    else:
        frame.polygon(((-0.13, 0.36), (0.13, 0.36), (0, 0.62)), (248, 244, 236))
        frame.polygon(((-0.035, 0.42), (0.035, 0.42), (0.05, 0.7), (0, 0.78), (-0.05, 0.7)), accent)
    frame.ellipse(0, 0, 0.195, skin, 0.26)
    shade = [(0.195 * math.cos(a), 0.26 * math.sin(a)) for a in np.linspace(-1.2, 1.4, 16)]
    frame.polygon([*shade, (0.1, 0.14), (0.12, -0.08)], mix(skin, DARK, 0.14))
    _face(frame, skin, hair, smiling=woman)
    _hair(frame, hair, woman=woman)
    if detail == "beard":
        _beard(frame, hair)
    elif detail == "glasses":
        _glasses(frame)
    elif detail == "flower":
        _flower(frame, accent)
    elif detail == "necklace":
        _necklace(frame)
    elif detail == "hat":
        _hat(frame, mix(accent, DARK, 0.25), accent, woman=woman)


def _beard(frame: Frame, hair: RGB) -> None:
    jaw = [(0.2 * math.cos(a), 0.02 + 0.3 * math.sin(a)) for a in np.linspace(0.1, math.pi - 0.1, 20)]
    frame.polygon([*jaw, (-0.1, 0.08), (0, 0.1), (0.1, 0.08)], hair)
    frame.ellipse(0, 0.155, 0.055, (170, 84, 78), 0.016)


def _glasses(frame: Frame) -> None:
    for side in (-1, 1):
        frame.arc(side * 0.085, -0.02, 0.07, 0, 360, 0.022, (24, 20, 24))
    frame.line(((-0.02, -0.02), (0.02, -0.02)), 0.02, (24, 20, 24))
    frame.line(((-0.155, -0.025), (-0.195, -0.045)), 0.018, (24, 20, 24))
    frame.line(((0.155, -0.025), (0.195, -0.045)), 0.018, (24, 20, 24))


def _flower(frame: Frame, accent: RGB) -> None:
    for petal in range(6):
        angle = petal * math.pi / 3
        frame.ellipse(0.19 + 0.065 * math.cos(angle), -0.2 + 0.065 * math.sin(angle), 0.05, accent)
    frame.ellipse(0.19, -0.2, 0.038, (252, 222, 96))


def _necklace(frame: Frame) -> None:
    for bead in np.linspace(0.12 * math.pi, 0.88 * math.pi, 11):
        frame.ellipse(0.16 * math.cos(bead), 0.33 + 0.13 * math.sin(bead), 0.026, (250, 246, 236))


def _body(frame: Frame, dress: RGB, *, woman: bool) -> None:
    wide = 0.46 if woman else 0.56
    shoulders = [
        (-wide, 1.2),
        (-wide, 0.62),
        (-wide * 0.82, 0.46),
        (-0.12, 0.34),
        (0.12, 0.34),
        (wide * 0.82, 0.46),
        (wide, 0.62),
        (wide, 1.2),
    ]
    frame.polygon(shoulders, dress)
    frame.polygon(((0.12, 0.36), (wide * 0.82, 0.46), (wide, 0.62), (wide, 1.2), (0.2, 1.2)), mix(dress, DARK, 0.22))
    for side in (-1, 1):
        frame.line(((side * 0.13, 0.36), (side * 0.2, 0.7), (side * 0.12, 1.2)), 0.016, mix(dress, DARK, 0.4))


def _face(frame: Frame, skin: RGB, hair: RGB, *, smiling: bool) -> None:
    lips = (188, 70, 70) if smiling else (166, 96, 86)
    for side in (-1, 1):
        frame.ellipse(side * 0.08, -0.02, 0.036, (250, 248, 244), 0.02)
        frame.ellipse(side * 0.08, -0.02, 0.018, (50, 40, 40), 0.02)
        frame.line(((side * 0.04, -0.075), (side * 0.12, -0.08)), 0.02, mix(hair, DARK, 0.4))
        frame.ellipse(side * 0.11, 0.07, 0.034, mix(skin, (224, 110, 100), 0.28), 0.024)
    frame.line(((0.005, -0.03), (0.025, 0.065), (-0.012, 0.072)), 0.014, mix(skin, DARK, 0.4))
    frame.ellipse(0, 0.14, 0.05, lips, 0.018)
    frame.line(((-0.05, 0.138), (0.05, 0.138)), 0.008, mix(lips, DARK, 0.5))


def _hair(frame: Frame, hair: RGB, *, woman: bool) -> None:
    outer = [(0.22 * math.cos(a), -0.02 + 0.29 * math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi, 22)]
    if woman:
        frame.polygon([*outer, (0.21, 0.2), (0.165, -0.02), (0.02, -0.2), (-0.165, -0.02), (-0.21, 0.2)], hair)
    else:
        frame.polygon([*outer, (0.19, 0.02), (0.17, -0.1), (0, -0.17), (-0.17, -0.1), (-0.19, 0.02)], hair)


def _hat(frame: Frame, felt: RGB, band: RGB, *, woman: bool) -> None:
    if woman:
        frame.ellipse(0, -0.2, 0.46, felt, 0.085)
        frame.ellipse(0, -0.28, 0.22, felt, 0.15)
        frame.rectangle(-0.215, -0.27, 0.215, -0.215, mix(band, (255, 255, 255), 0.45))
    else:
        frame.rectangle(-0.19, -0.58, 0.19, -0.2, felt)
        frame.ellipse(0, -0.58, 0.19, mix(felt, (255, 255, 255), 0.15), 0.03)
        frame.ellipse(0, -0.18, 0.33, felt, 0.05)
        frame.rectangle(-0.19, -0.28, 0.19, -0.22, mix(band, (255, 255, 255), 0.45))
