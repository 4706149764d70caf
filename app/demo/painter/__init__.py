"""Paints scenes with Pillow and numpy: the same scene at the same size is the same picture, pixel for pixel."""

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from app.demo.painter.abstract import abstract
from app.demo.painter.canvas import Canvas, picture
from app.demo.painter.cityscape import cityscape
from app.demo.painter.interior import interior
from app.demo.painter.landscape import landscape
from app.demo.painter.palette import graded
from app.demo.painter.people import portrait
from app.demo.painter.seascape import seascape
from app.demo.painter.still_life import still_life
from app.demo.painter.styles import STYLES, Work
from app.demo.scene import Format, Kind, Scene

PAINTERS: Mapping[Kind, Callable[[Canvas, Scene], None]] = {
    "seascape": seascape,
    "landscape": landscape,
    "cityscape": cityscape,
    "portrait": portrait,
    "still life": still_life,
    "interior": interior,
    "abstract": abstract,
}
SHAPES: Mapping[Format, tuple[float, float]] = {"wide": (1, 0.78), "square": (0.9, 0.9), "tall": (0.78, 1)}

# How far a picture is drawn towards its colour. Indoors and on people most things have that colour already.
GRADING: Mapping[Kind, float] = {
    "seascape": 0.62,
    "landscape": 0.58,
    "cityscape": 0.58,
    "portrait": 0.3,
    "still life": 0.34,
    "interior": 0.42,
    "abstract": 0.12,
}


def paint(scene: Scene, size: int) -> Image.Image:
    """The picture of a scene, its longer side about `size` pixels."""
    across, down = SHAPES[scene.format]
    width, height = round(size * across), round(size * down)
    canvas = Canvas(2 * width, 2 * height, np.random.default_rng([scene.seed, 2]))
    PAINTERS[scene.kind](canvas, scene)
    smooth = np.asarray(canvas.image.reduce(2), np.float32)
    toned = picture(graded(smooth, scene.colour, GRADING[scene.kind]))
    return STYLES[scene.style](Work(toned, scene.colour, np.random.default_rng([scene.seed, 3])))
