"""The painter: the same scene is the same picture, and shows what its scene says."""

import colorsys
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from app.demo.painter import SHAPES, paint
from app.demo.scene import DETAILS, SUBJECTS, Colour, Format, Kind, Scene, Style, imagine
from PIL import Image

SEASIDE = replace(
    next(scene for scene in map(imagine, range(1000)) if scene.kind == "seascape"),
    subject="lighthouse", count=1, style="oil", weather="clear", time="day", colour="blue", place="centre",
)  # fmt: skip


def scene_of(kind: Kind, subject: str) -> Scene:
    """A scene with a subject, whatever else."""
    return next(scene for scene in map(imagine, range(10_000)) if (scene.kind, scene.subject) == (kind, subject))


def mean_lightness(image: Image.Image) -> float:
    return float(np.asarray(image.convert("L"), float).mean())


def test_the_same_scene_is_the_same_picture() -> None:
    assert paint(SEASIDE, 120).tobytes() == paint(SEASIDE, 120).tobytes()


def test_another_seed_is_another_picture_of_the_same() -> None:
    assert paint(SEASIDE, 120).tobytes() != paint(replace(SEASIDE, seed=SEASIDE.seed + 1), 120).tobytes()


def test_a_larger_picture_shows_the_same() -> None:
    small = np.asarray(paint(SEASIDE, 160).resize((32, 32)), float)
    large = np.asarray(paint(SEASIDE, 480).resize((32, 32)), float)

    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(("kind", "subject"), [(kind, subject) for kind, all_ in SUBJECTS.items() for subject in all_])
def test_every_subject_is_painted_with_everything_it_may_have(kind: Kind, subject: str) -> None:
    scene = scene_of(kind, subject)
    most = SUBJECTS[kind][subject]
    pictures = [
        paint(replace(scene, detail=detail, count=count), 96)
        for detail in DETAILS.get(subject, ("",))
        for count in {1, most}
    ]

    assert all(np.asarray(picture.convert("L"), float).std() > 4 for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


@pytest.mark.parametrize("style", get_args(Style))
def test_every_style_paints_the_same_scene_differently(style: Style) -> None:
    plain = np.asarray(paint(replace(SEASIDE, style="oil"), 160), float)
    other = np.asarray(paint(replace(SEASIDE, style=style), 160), float)

    assert style == "oil" or np.abs(plain - other).mean() > 3


@pytest.mark.parametrize("format_", get_args(Format))
def test_a_picture_has_its_scene_s_format(format_: Format) -> None:
    across, down = SHAPES[format_]

    assert paint(replace(SEASIDE, format=format_), 200).size == (round(200 * across), round(200 * down))


def test_nights_are_darker_than_days() -> None:
    lightness = {time: mean_lightness(paint(replace(SEASIDE, time=time), 120)) for time in ("night", "dusk", "day")}

    assert lightness["night"] < lightness["dusk"] < lightness["day"]


def test_a_seed_s_scene_may_be_told_by_its_colour() -> None:
    hues: dict[Colour, float] = {"red": 0, "yellow": 50, "green": 130, "blue": 215, "purple": 275}
    for colour, expected in hues.items():
        r, g, b = np.asarray(paint(replace(SEASIDE, colour=colour), 120), float).mean(axis=(0, 1)) / 255
        hue = colorsys.rgb_to_hsv(r, g, b)[0] * 360
        assert abs((hue - expected + 180) % 360 - 180) < 25, colour
