"""What vectors are for: the right picture for words, and the right words for a picture, through HTTP."""

from typing import Any

import numpy as np
import pytest
from app.demo.scene import Scene

from tests.demo.conftest import Demonstration

pytestmark = pytest.mark.slow

QUERIES: list[tuple[str, dict[str, Any]]] = [
    ("a stormy sea at night", {"kind": "seascape", "weather": "storm", "time": "night"}),
    ("portrait of a woman in a red dress", {"subject": "woman", "colour": "red"}),
    ("a lighthouse", {"subject": "lighthouse"}),
    ("a pile of books on a table", {"subject": "books"}),
    ("a skull, memento mori", {"subject": "skull"}),
    ("a burning candle", {"subject": "candle"}),
    ("a vase of flowers", {"subject": "flowers"}),
    ("a glass of wine and a bottle", {"subject": "bottle"}),
    ("some lemons", {"subject": "lemon"}),
    ("red apples", {"subject": "apple"}),
    ("an open fire in a living room", {"subject": "fireplace"}),
    ("shelves full of books", {"subject": "bookshelf"}),
    ("a room with a piano", {"subject": "piano"}),
    ("a couple", {"subject": "couple"}),
    ("a canal with a bridge in the city", {"subject": "canal"}),
    ("a church with a steeple", {"subject": "church"}),
    ("a forest in winter", {"subject": "forest", "season": "winter"}),
    ("beach umbrellas", {"subject": "parasol"}),
    ("a steamer with smoking funnels", {"subject": "steamship"}),
    ("a spiral", {"subject": "spiral"}),
    ("blue stripes", {"subject": "stripes", "colour": "blue"}),
    ("a grid of black lines", {"subject": "grid"}),
    ("a mosaic", {"style": "mosaic"}),
    ("a pen drawing in ink", {"style": "line drawing"}),
    ("a pointillist seascape", {"kind": "seascape", "style": "pointillist"}),
    ("a cubist portrait", {"kind": "portrait", "style": "cubist"}),
    ("watercolour of a landscape", {"kind": "landscape", "style": "watercolour"}),
    ("a town in the snow", {"kind": "cityscape", "weather": "snow"}),
    ("green still life", {"kind": "still life", "colour": "green"}),
    ("a foggy landscape", {"kind": "landscape", "weather": "fog"}),
    ("lightning over the sea", {"kind": "seascape", "weather": "storm"}),
    ("a rainy town", {"kind": "cityscape", "weather": "rain"}),
    ("a woodcut of a portrait", {"kind": "portrait", "style": "woodcut"}),
    ("purple interior", {"kind": "interior", "colour": "purple"}),
    ("a room at night", {"kind": "interior", "time": "night"}),
    ("sunrise over the sea", {"kind": "seascape", "time": "dawn"}),
    ("colour field painting", {"style": "colour field"}),
    ("an oil painting in yellow", {"style": "oil", "colour": "yellow"}),
    ("a pink portrait", {"kind": "portrait", "colour": "pink"}),
    ("still life in watercolour", {"kind": "still life", "style": "watercolour"}),
]


def fits(scene: Scene, wanted: dict[str, Any]) -> bool:
    return all(getattr(scene, name) == value for name, value in wanted.items())


@pytest.fixture(scope="module")
def pictures(demonstration: Demonstration) -> Any:
    """What the service says of every artwork's picture, by URL."""
    urls = [f"{demonstration.url}/artworks/{work.id}.jpg" for work in demonstration.works]
    return np.array([demonstration.embed("embed-image", url=url)["embedding"] for url in urls])


@pytest.mark.parametrize(("query", "wanted"), QUERIES, ids=[query for query, _ in QUERIES])
def test_a_query_finds_a_picture_of_what_it_asks_for(
    demonstration: Demonstration, pictures: Any, query: str, wanted: dict[str, Any]
) -> None:
    assert any(fits(scene, wanted) for scene in demonstration.scenes), "the gallery has no such picture"

    best = int(np.argmax(pictures @ demonstration.embed("embed-text", query=query)["embedding"]))

    assert fits(demonstration.scenes[best], wanted), demonstration.works[best].metadata["title"]


def test_captions_and_pictures_find_each_other(demonstration: Demonstration, pictures: Any) -> None:
    captions = [work.metadata["caption"] for work in demonstration.works]
    texts = np.array([demonstration.embed("embed-text", query=caption)["embedding"] for caption in captions])

    for similar in (texts @ pictures.T, pictures @ texts.T):
        better = (similar > np.diagonal(similar)[:, None]).sum(axis=1)
        assert np.mean(better < 1) >= 0.6
        assert np.mean(better < 5) >= 0.9


def test_the_gallery_holds_the_vectors_that_the_service_gives(demonstration: Demonstration, pictures: Any) -> None:
    hung = np.array([work.vector for work in demonstration.works])

    assert np.sum(hung * pictures, axis=1).min() > 0.9995
