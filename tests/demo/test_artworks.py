"""Labels beside the pictures: plausible, and plainly invented."""

import pytest
from app.demo.artworks import FIRST_YEAR, LAST_YEAR, collection

WORKS = [work for _, work in collection(0, 500)]


def test_ids_are_unique() -> None:
    assert len({work.id for work in WORKS}) == len(WORKS)


def test_every_painter_is_said_to_be_invented() -> None:
    assert all("(invented)" in work.artist for work in WORKS)


def test_years_and_media_are_plausible() -> None:
    assert all(FIRST_YEAR <= work.year < LAST_YEAR and work.medium for work in WORKS)


@pytest.mark.parametrize("start", ["Portrait of a", "Still life: ", "Room with a"])
def test_titles_read_like_titles(start: str) -> None:
    assert any(work.title.startswith(start) for work in WORKS)
    assert all(work.title[0].isupper() and "  " not in work.title for work in WORKS)


def test_the_same_seeds_are_the_same_collection() -> None:
    assert collection(7, 5) == collection(7, 5)
