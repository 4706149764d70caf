"""What views in the open have in common: where things stand in them, and water."""

import numpy as np

from app.demo.painter.palette import RGB, mix
from app.demo.painter.sky import SUN, Outdoors
from app.demo.scene import Place, Scene

ACROSS: dict[Place, float] = {"left": 0.3, "centre": 0.5, "right": 0.7}


def abreast(scene: Scene, spread: float = 0.2) -> list[float]:
    """Where the subject's repetitions stand, around its place."""
    room = max(0.0, 0.36 - spread * (scene.count - 1) / 2)
    centre = 0.5 + max(-room, min(room, ACROSS[scene.place] - 0.5))
    return [centre + (index - (scene.count - 1) / 2) * spread for index in range(scene.count)]


def water(view: Outdoors, top: float, bottom: float, colour: RGB) -> None:
    """A surface of water between two heights: light at the horizon, ripples that grow towards us, the sun's track."""
    canvas, rng = view.canvas, view.canvas.rng
    pixels = canvas.pixels.copy()
    start, end = round(top * canvas.height), round(bottom * canvas.height)
    share = np.linspace(0, 1, max(1, end - start), dtype=np.float32)[:, None, None]
    far = np.array(mix(view.haze, view.light(colour), 0.45), np.float32)
    near = np.array(view.light(mix(colour, (8, 24, 44), 0.35)), np.float32)
    pixels[start:end] = far + (near - far) * share**0.7
    canvas.pixels = pixels
    bright, dark = mix(view.haze, view.light(colour), 0.35), view.light(mix(colour, (4, 14, 30), 0.55))
    frame = canvas.whole
    for index in range(150):
        near_us = (index / 150) ** 1.6
        y = top + (bottom - top) * near_us
        x, half = rng.random(), (0.015 + 0.07 * near_us) * rng.uniform(0.5, 1.2)
        frame.line(
            [(x - half, y), (x, y - 0.004 - 0.008 * near_us), (x + half, y)],
            0.0025 + 0.004 * near_us,
            mix(bright, dark, float(rng.random() < 0.5) * 0.9),
        )
    if view.weather not in ("rain", "storm", "snow") and (view.time != "day"):
        glitter = mix(SUN[view.time], bright, 0.15)
        for index in range(46):
            near_us = index / 46
            y = top + (bottom - top) * near_us
            half = (0.012 + 0.045 * near_us) * rng.uniform(0.4, 1.2)
            x = view.sun[0] + rng.normal(0, 0.012 + 0.02 * near_us)
            frame.line(((x - half, y), (x + half, y)), 0.004 + 0.004 * near_us, glitter)
