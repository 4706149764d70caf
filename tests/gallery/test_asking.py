"""Addresses: what they ask for, and that what is asked for comes back out of them."""

import base64
from urllib.parse import parse_qsl

import numpy as np
import pytest
from app.errors import InvalidRequest
from app.gallery.asking import AVOIDED, PAGE, Asked, as_picture, vector_in
from app.gallery.collection import Wish
from app.search.store import DEEPEST

from tests.gallery.conftest import unit

SPACE = "5f0c1b2a9d3e4f67"


def asked(query: str) -> Asked:
    return Asked.of(parse_qsl(query, keep_blank_values=True))


def picture(data: bytes, space: str = SPACE) -> str:
    return f"{space}.{base64.urlsafe_b64encode(data).decode().rstrip('=')}"


def test_what_is_asked_for_comes_back_out_of_its_address() -> None:
    wanted = Asked(
        text="a stormy sea & more? 100%",
        without="people",
        like="a/b?c=d&e #1",
        one_of={"artist": ["Ada Impasto", "Ben & Glaze"], "on show": ["yes"]},
        lowest={"year": "1850"},
        highest={"year": "1900"},
        offset=48,
    )

    assert asked(wanted.address()) == wanted


def test_an_address_has_nothing_that_wasnt_asked_for() -> None:
    assert asked("q=sea&not=&like=&from.year=&to.year=&f.artist=&offset=0").address() == "q=sea"


def test_words_have_no_white_space_around_them() -> None:
    assert asked("q=+a+stormy+sea%0A&not=%09people+") == Asked(text="a stormy sea", without="people")


def test_an_id_and_a_value_are_taken_as_they_are() -> None:
    assert asked("like=+a+&f.artist=+Ada+") == Asked(like=" a ", one_of={"artist": [" Ada "]})


def test_unknown_parameters_are_passed_over() -> None:
    assert asked("q=sea&utm_source=letter&page=7&k=1000&f=1&from=2") == Asked(text="sea")


@pytest.mark.parametrize("offset", ["-48", "many", "", "1.5", "²", "٣", "0x10"])
def test_an_offset_that_is_none_is_the_beginning(offset: str) -> None:
    assert Asked.of([("q", "sea"), ("offset", offset)]).offset == 0


@pytest.mark.parametrize("offset", ["10000", "99999999999", "9" * 10_000])
def test_an_offset_goes_no_further_than_an_index_can_be_asked(offset: str) -> None:
    assert Asked.of([("offset", offset)]).offset + PAGE + 1 == DEEPEST


@pytest.mark.parametrize("query", ["q=sea", "like=work-1", "picture=abc"])
def test_there_are_three_things_to_be_near_to(query: str) -> None:
    assert asked(query).is_search


@pytest.mark.parametrize("query", ["", "not=people", "f.artist=Ada", "from.year=1850", "offset=48"])
def test_what_is_only_avoided_or_filtered_is_no_search(query: str) -> None:
    assert not asked(query).is_search


@pytest.mark.parametrize("query", ["f.artist=Ada", "from.year=1850", "to.year=1850"])
def test_values_and_bounds_are_filters(query: str) -> None:
    assert asked(query).is_filtered


def test_words_to_avoid_weigh_less_than_what_is_wished_for() -> None:
    assert asked("q=sea&not=people&like=work-1").wishes() == [
        Wish(item="work-1"),
        Wish(text="sea"),
        Wish(text="people", weight=AVOIDED),
    ]


def test_a_vector_comes_back_out_of_an_address() -> None:
    (vector,) = unit(1)

    space, found = vector_in(as_picture(vector, SPACE))

    assert space == SPACE
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    assert np.allclose(found, vector, atol=1e-3)


@pytest.mark.parametrize("dimensions", [64, 512, 1024])
def test_sixteen_bits_change_no_cosine_by_more_than_a_thousandth(dimensions: int) -> None:
    vectors, others = unit(50, dimensions, seed=1), unit(500, dimensions, seed=2)

    found = np.array([vector_in(as_picture(vector, SPACE))[1] for vector in vectors])

    assert np.abs(found @ others.T - vectors @ others.T).max() < 0.001


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "nonsense",
        f"{SPACE}.",
        f"{SPACE}.A",
        f"{SPACE}.AAA",
        f"{SPACE}.<script>",
        f"{SPACE}.AAAA\n",
        f"{'a' * 65}.AAAA",
        ".AAAA",
        picture(b"\0" * 128),
        picture(np.full(64, np.nan, "<f2").tobytes()),
        picture(np.full(64, np.inf, "<f2").tobytes()),
        picture(b"\1" * 127),
    ],
)
def test_an_address_in_which_no_vector_stands_is_damaged(damaged: str) -> None:
    with pytest.raises(InvalidRequest):
        vector_in(damaged)
