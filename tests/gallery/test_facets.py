"""Filters: which there are, and what is made of those that an address names."""

import pytest
from app.gallery.asking import Asked
from app.gallery.facets import MOST_FACETS, Choice, Facet, facets, where
from app.search.fields import Field, fields_of
from app.search.filters import AnyOf, Between, parsed

WORKS = [
    {
        "artist": ["Ada Impasto", "Ben Glaze", "Cy Ground"][number % 3],
        "year": 1850 + number,
        "on_show": number % 4 == 0,
        "room": number % 2,
        "title": f"The work {number}",
        "kind": "painting",
        "width": number,
        "url": f"https://media.example.org/{number % 2}.jpg",
    }
    for number in range(60)
]
FIELDS = fields_of(WORKS)
NOTHING = Asked()


def named(asked: Asked = NOTHING, fields: dict[str, Field] = FIELDS) -> dict[str, Facet]:
    return {facet.name: facet for facet in facets(fields, len(WORKS), asked)}


def test_a_field_of_few_values_has_them_with_their_counts_the_most_common_first() -> None:
    assert named()["on_show"].choices == [Choice("no", 45, False), Choice("yes", 15, False)]


def test_a_field_of_many_numbers_has_bounds_in_place_of_choices() -> None:
    facet = named()["year"]

    assert (facet.bounds, facet.choices) == ((1850, 1909), [])


def test_a_field_of_few_numbers_has_choices() -> None:
    assert [choice.value for choice in named()["room"].choices] == ["0", "1"]


@pytest.mark.parametrize("name", ["title", "kind", "width", "url"])
def test_what_tells_nothing_apart_or_is_for_programs_is_no_facet(name: str) -> None:
    assert name not in named()


def test_there_are_only_so_many_facets() -> None:
    works = [{f"field{place:02}": number % 2 for place in range(30)} for number in range(60)]

    assert len(named(fields=fields_of(works))) == MOST_FACETS


def test_a_facet_says_what_is_chosen_of_it() -> None:
    facet = named(Asked(one_of={"artist": ["Ben Glaze"]}))["artist"]

    assert [choice.value for choice in facet.choices if choice.is_chosen] == ["Ben Glaze"]
    assert facet.is_used


def test_a_facet_says_its_bounds() -> None:
    facet = named(Asked(lowest={"year": "1860"}, highest={"year": "1870"}))["year"]

    assert (facet.lowest, facet.highest, facet.is_used) == ("1860", "1870", True)


def test_a_label_reads_like_words() -> None:
    assert named()["on_show"].label == "on show"


def test_a_value_is_filtered_by_as_what_it_is() -> None:
    chosen = Asked(one_of={"artist": ["Ada Impasto", "Ben Glaze"], "room": ["1"], "on_show": ["yes"]})

    assert parsed(where(FIELDS, chosen)) == (
        AnyOf("artist", ("Ada Impasto", "Ben Glaze")),
        AnyOf("room", (1,)),
        AnyOf("on_show", (True,)),
    )


def test_a_value_that_reads_like_another_stands_for_both() -> None:
    fields = fields_of([{"shown": True}, {"shown": "yes"}])

    assert where(fields, Asked(one_of={"shown": ["yes"]})) == {"shown": [True, "yes"]}


def test_bounds_are_numbers() -> None:
    chosen = Asked(lowest={"year": "1860.5"}, highest={"year": "1.87e3"})

    assert parsed(where(FIELDS, chosen)) == (Between("year", 1860.5, 1870),)


@pytest.mark.parametrize("bound", ["old", "nan", "inf", "-Infinity", "1860,5", "١٨٦٠ years"])
def test_a_bound_that_is_no_number_is_none(bound: str) -> None:
    assert where(FIELDS, Asked(lowest={"year": bound})) == {}


def test_fields_that_are_no_more_are_left_out() -> None:
    assert where(FIELDS, Asked(one_of={"owner": ["me"]}, lowest={"price": "1"}, highest={"price": "9"})) == {}
