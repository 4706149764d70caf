"""The bundled model's scores: those that its card names, and no less than was promised."""

import re

import pytest
from app.config import BUNDLED
from tools.evaluate_tiny_gallery import bundled

pytestmark = pytest.mark.slow

# What another machine's arithmetic may change: a few scenes of 500.
TOLERANCE = 0.008


@pytest.fixture(scope="module")
def scores() -> dict[str, float]:
    return bundled()


def test_the_card_names_the_scores_that_the_evaluation_gives(scores: dict[str, float]) -> None:
    card = (BUNDLED / "README.md").read_text("utf-8")
    named = {name: float(score) for name, score in re.findall(r"^\| ([a-z@0-9, ]+) \| ([01]\.\d+) \|$", card, re.M)}

    assert named == pytest.approx(scores, abs=TOLERANCE)


def test_pictures_are_found_by_their_captions_and_the_other_way_round(scores: dict[str, float]) -> None:
    assert scores["text to picture, recall@1"] >= 0.6
    assert scores["text to picture, recall@5"] >= 0.9
    for k in (1, 5):
        there, back = scores[f"text to picture, recall@{k}"], scores[f"picture to text, recall@{k}"]
        assert there == pytest.approx(back, abs=0.05)


@pytest.mark.parametrize("attribute", ["scene", "colour", "weather", "time", "style"])
def test_every_attribute_is_told_by_words_alone(scores: dict[str, float], attribute: str) -> None:
    assert scores[attribute] >= 0.85
