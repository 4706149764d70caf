"""What is shown of an item, whatever its metadata is."""

from typing import Any

import pytest
from app.gallery.collection import Item
from app.gallery.shown import LONGEST_TEXT, LONGEST_TITLE, Shown, shown, small


def of(**metadata: Any) -> Shown:
    return shown(Item("an-id", metadata))


@pytest.mark.parametrize(
    ("metadata", "title"),
    [
        ({"title": "The sea", "name": "sea.jpg"}, "The sea"),
        ({"name": "The sea"}, "The sea"),
        ({"title": "", "caption": "A sea"}, "A sea"),
        ({"title": "  ", "label": "A sea"}, "A sea"),
        ({"title": None}, "an-id"),
        ({"title": {"en": "The sea"}}, "an-id"),
        ({"title": ["The sea", "La mer"]}, "The sea, La mer"),
        ({"title": 1984}, "1984"),
        ({"title": "x" * 10_000}, "an-id"),
        ({}, "an-id"),
    ],
)
def test_a_title_is_what_comes_nearest_to_one(metadata: dict[str, Any], title: str) -> None:
    assert shown(Item("an-id", metadata)).title == title


def test_who_made_it_when_and_of_what_stand_below_the_title() -> None:
    assert of(medium="oil", date="about 1850", creator="Ada Impasto").by == "Ada Impasto, about 1850, oil"


@pytest.mark.parametrize(
    ("field", "most"), [("title", LONGEST_TITLE), ("artist", LONGEST_TITLE), ("alt", LONGEST_TITLE)]
)
def test_a_text_that_is_too_long_for_its_place_is_cut(field: str, most: int) -> None:
    item = of(**{field: "words " * 1000})

    text = {"title": item.title, "artist": item.by, "alt": item.alt}[field]
    assert len(text) == LONGEST_TITLE
    assert text.endswith("…")


def test_a_fact_is_cut_where_nobody_reads_on() -> None:
    ((_, text),) = of(notes="words " * 1000).facts

    assert len(text) == LONGEST_TEXT


def test_a_description_stands_in_the_place_of_a_picture_that_cant_be_seen() -> None:
    assert of(title="The sea", description="Waves below a dark sky").alt == "Waves below a dark sky"


def test_without_a_description_the_label_does() -> None:
    assert of(title="The sea", artist="Ada Impasto").alt == "The sea, Ada Impasto"


def test_facts_are_for_people() -> None:
    item = of(
        on_show=True, weight=1.5, tags=["a", "b"], sha256="ab", url="https://a.example/b", nested={"a": 1}, no=None
    )

    assert item.facts == [("on show", "yes"), ("weight", "1.5"), ("tags", "a, b")]


@pytest.mark.parametrize("field", ["url", "image_url", "image"])
def test_a_picture_is_behind_a_url(field: str) -> None:
    picture = of(**{field: "https://media.example.org/a.jpg"}).picture

    assert picture is not None
    assert (picture.url, picture.path) == ("https://media.example.org/a.jpg", None)


def test_a_picture_is_where_the_catalogue_says() -> None:
    picture = of(image={"path": "ab/ab12.jpg", "url": "https://media.example.org/a.jpg", "sha256": "ab12"}).picture

    assert picture is not None
    assert (picture.path, picture.url) == ("ab/ab12.jpg", "https://media.example.org/a.jpg")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\nscript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "//media.example.org/a.jpg",
        "/a.jpg",
        "https://",
        "https://[::1",
        "https://media.example.org/" + "a" * 10_000,
        "",
        17,
        ["https://media.example.org/a.jpg"],
        None,
    ],
)
@pytest.mark.parametrize("field", ["url", "image", "page_url", "link", "href"])
def test_a_url_that_no_browser_should_be_sent_to_is_none(field: str, url: Any) -> None:
    item = of(**{field: url})

    assert (item.picture, item.page) == (None, None)


def test_the_page_about_an_item_comes_before_its_picture() -> None:
    assert of(url="https://a.example/b.jpg", page_url="https://a.example/b").page == "https://a.example/b"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"image": {"path": "a.jpg", "sha256": "1"}}, {"image": {"path": "a.jpg", "sha256": "2"}}),
        ({"image": {"path": "a.jpg"}}, {"image": {"path": "b.jpg"}}),
        ({"url": "https://a.example/1"}, {"url": "https://a.example/2"}),
    ],
)
def test_another_picture_is_another_version(before: dict[str, Any], after: dict[str, Any]) -> None:
    first, second = of(**before).picture, of(**after).picture

    assert first is not None
    assert second is not None
    assert first.version != second.version


def test_the_same_bytes_elsewhere_are_the_same_version() -> None:
    first, second = (of(image={"path": path, "sha256": "1"}).picture for path in ("a.jpg", "b.jpg"))

    assert first is not None
    assert second is not None
    assert first.version == second.version


@pytest.mark.parametrize(
    "metadata", [{"image": {"width": 900, "height": 600}}, {"width": 900, "height": 600, "image": "a"}]
)
def test_a_size_is_known_beforehand(metadata: dict[str, Any]) -> None:
    item = of(**metadata)

    assert (item.size, small(item, 480)) == ((900, 600), (480, 320))


@pytest.mark.parametrize(
    ("width", "height"),
    [(0, 10), (-1, 10), (1.5, 10), ("900", "600"), (True, True), (10**9, 10), (None, 10), ([900], [600])],
)
def test_a_size_that_no_picture_has_is_none(width: Any, height: Any) -> None:
    item = of(width=width, height=height)

    assert (item.size, small(item, 480)) == (None, None)
