"""Captions: many words, and none that isn't true."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from app.demo import words
from app.demo.captions import caption, query
from app.demo.scene import Scene, imagine

SCENES = [imagine(seed) for seed in range(1500)]


def said(of: Scene, times: int = 3) -> list[str]:
    """Several captions and queries of a scene."""
    rng = np.random.default_rng(of.seed)
    return [say(of, rng) for _ in range(times) for say in (caption, query)]


def foreign(value: str | None, phrases: Mapping[str, Sequence[str]]) -> set[str]:
    """What is said of other scenes only."""
    own = set(phrases.get(value or "", ()))
    return {phrase for others in phrases.values() for phrase in others} - own


@pytest.mark.parametrize(
    ("attribute", "phrases"),
    [
        (lambda scene: scene.weather, {name: entry.after for name, entry in words.WEATHERS.items()}),
        (lambda scene: scene.time, {name: entry.after for name, entry in words.TIMES.items()}),
        (lambda scene: scene.season, {name: entry.after for name, entry in words.SEASONS.items()}),
        (lambda scene: scene.style, {name: entry.after for name, entry in words.STYLES.items()}),
    ],
    ids=["weather", "time", "season", "style"],
)
def test_nothing_is_said_that_is_not_true(
    attribute: Callable[[Scene], str | None], phrases: Mapping[str, Sequence[str]]
) -> None:
    for scene in SCENES:
        for sentence in said(scene):
            padded = f" {sentence.replace(',', ' ,')} "
            assert not [phrase for phrase in foreign(attribute(scene), phrases) if f" {phrase} " in padded], sentence


def test_a_number_that_is_said_is_the_number_of_things() -> None:
    numbers = {word: count for count, ways in words.NUMBERS.items() for word in ways}
    counted = 0
    for scene in SCENES:
        things = [*words.SUBJECTS[scene.subject].one, *words.SUBJECTS[scene.subject].several]
        for sentence in said(scene):
            numbered = {
                number for word, number in numbers.items() for thing in things if f" {word} {thing}" in sentence
            }
            assert numbered <= {scene.count}, sentence
            counted += len(numbered)
    assert counted


def test_a_caption_is_longer_than_a_query() -> None:
    captions = [len(caption(scene, np.random.default_rng(scene.seed))) for scene in SCENES]
    queries = [len(query(scene, np.random.default_rng(scene.seed))) for scene in SCENES]

    assert np.mean(captions) > 1.5 * np.mean(queries)


def test_captions_hardly_ever_repeat() -> None:
    captions = {caption(scene, np.random.default_rng(scene.seed)) for scene in SCENES}

    assert len(captions) > 0.98 * len(SCENES)


def test_a_few_hundred_words_are_used() -> None:
    vocabulary = {word.strip(",") for scene in SCENES for sentence in said(scene) for word in sentence.split()}

    assert 300 < len(vocabulary) < 1000
