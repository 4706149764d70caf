"""Scenes: what can be painted."""

from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

import pytest
from app.demo.scene import OUTDOORS, SUBJECTS, Colour, Kind, Scene, Style, Time, Weather, imagine

SCENES = [imagine(seed) for seed in range(4000)]


def test_a_seed_always_gives_the_same_scene() -> None:
    assert imagine(17) == imagine(17)
    assert imagine(17) != imagine(18)


@pytest.mark.parametrize(
    ("choices", "attribute"),
    [
        (get_args(Kind), lambda scene: scene.kind),
        (get_args(Colour), lambda scene: scene.colour),
        (get_args(Weather), lambda scene: scene.weather),
        (get_args(Time), lambda scene: scene.time),
    ],
    ids=["kind", "colour", "weather", "time"],
)
def test_every_choice_comes_about_equally_often(choices: tuple[str, ...], attribute: Callable[[Scene], Any]) -> None:
    found = Counter(attribute(scene) for scene in SCENES if attribute(scene))

    assert set(found) == set(choices)
    assert max(found.values()) < 1.4 * min(found.values())


def test_every_subject_and_style_comes() -> None:
    assert {scene.subject for scene in SCENES} == {subject for kind in SUBJECTS.values() for subject in kind}
    assert {scene.style for scene in SCENES} == set(get_args(Style))


def test_only_what_is_outdoors_has_weather_and_only_land_has_seasons() -> None:
    assert all((scene.weather is not None) == (scene.kind in OUTDOORS) for scene in SCENES)
    assert all((scene.season is not None) == (scene.kind == "landscape") for scene in SCENES)


def test_it_snows_in_winter() -> None:
    assert {scene.season for scene in SCENES if scene.kind == "landscape" and scene.weather == "snow"} == {"winter"}
