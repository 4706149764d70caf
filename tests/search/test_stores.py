"""What every kind of store keeps to, whatever is behind it."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from app.errors import SpaceMismatch
from app.search.fields import MOST_DISTINCT, MOST_FIELDS, MOST_VALUES, Common, Field
from app.search.filters import parsed
from app.search.store import Item, Store

from tests.search.conftest import DIMENSIONS, OTHER_SPACE, SPACE, random_items, unit

EVERYTHING = parsed({})
FRESH_S = 2.0

SEA = Item("sea", unit(1, 0.1), {"title": "The sea", "year": 1840, "tags": ["water", "storm"], "on_view": True}, "a")
DOGS = Item("dogs", unit(0, 1), {"title": "Two dogs", "year": 1902.5, "tags": ["animals"], "on_view": False}, "b")
BOAT = Item("boat", unit(1, 0.6), {"title": "A boat", "year": 1911, "tags": ["water"], "maker": {"name": "?"}}, "c")
BARE = Item("bare", unit(0.2, 1), {}, "d")
WORKS = [SEA, DOGS, BOAT, BARE]


def ids(store: Store, where: Mapping[str, Any] | None = None, near: Item = SEA, limit: int = 10) -> list[str]:
    return [found.id for found in store.search(near.vector, limit, parsed(where or {}), SPACE)]


def until(condition: Callable[[], bool]) -> None:
    """Wait for what may take a moment to be seen by everybody."""
    pace = threading.Event()
    deadline = time.monotonic() + FRESH_S
    while not condition():
        assert time.monotonic() < deadline
        pace.wait(0.02)


@pytest.fixture
def works(store: Store) -> Store:
    store.upsert(WORKS, SPACE)
    until(lambda: len(ids(store)) == len(WORKS))
    return store


def test_an_index_where_nothing_was_put_in_is_empty(store: Store) -> None:
    about = store.about()

    assert (about.space, about.dimensions, about.count) == (None, None, 0)
    assert ids(store) == []
    assert store.vectors(["sea"], SPACE) == {}
    assert store.delete(["sea"]) == 0
    assert store.digests() == {}
    assert list(store.items()) == []
    assert store.metadata_of(["sea"]) == {}
    assert not store.has_field("title")
    assert store.fields() == {}
    store.settle()


def test_the_first_items_give_an_index_its_space_and_dimensions(works: Store) -> None:
    about = works.about()

    assert (about.space, about.dimensions, about.count) == (SPACE, DIMENSIONS, len(WORKS))


def test_the_nearest_come_first_with_their_cosine_and_metadata(works: Store) -> None:
    found = works.search(SEA.vector, 3, EVERYTHING, SPACE)

    assert [each.id for each in found] == ["sea", "boat", "bare"]
    expected = [float(SEA.vector @ item.vector) for item in (SEA, BOAT, BARE)]
    assert [each.score for each in found] == pytest.approx(expected, abs=1e-5)
    assert [each.metadata for each in found] == [SEA.metadata, BOAT.metadata, BARE.metadata]


def test_no_more_are_found_than_asked_for_or_than_there_are(works: Store) -> None:
    assert len(ids(works, limit=2)) == 2
    assert len(ids(works, limit=1000)) == len(WORKS)


def test_scores_may_be_negative(works: Store) -> None:
    (*_, last) = works.search(-SEA.vector, 10, EVERYTHING, SPACE)

    assert last.id == "sea"
    assert last.score == pytest.approx(-1, abs=1e-5)


def test_another_process_finds_what_was_put_in_and_not_what_was_taken_out(works: Store, another: Store) -> None:
    until(lambda: ids(another) == ids(works))

    works.delete(["boat"])

    until(lambda: ids(another) == ["sea", "bare", "dogs"])


def test_an_item_takes_the_place_of_what_had_its_id(works: Store) -> None:
    works.upsert([replace(SEA, vector=DOGS.vector, metadata={"title": "No sea"}, digest="new")], SPACE)

    until(lambda: works.vectors(["sea"], SPACE)["sea"] == pytest.approx(DOGS.vector, abs=1e-6))
    until(lambda: works.search(DOGS.vector, 10, EVERYTHING, SPACE)[0].score > 0.999 and len(ids(works)) == len(WORKS))
    (first,) = [each for each in works.search(DOGS.vector, 10, EVERYTHING, SPACE) if each.id == "sea"]
    assert first.metadata == {"title": "No sea"}
    assert works.digests()["sea"] == "new"
    assert ids(works, {"title": "The sea"}) == []
    assert works.about().count == len(WORKS)


def test_an_item_whose_metadata_alone_has_changed_keeps_its_vector(works: Store) -> None:
    works.upsert([replace(SEA, metadata={"title": "Another"}, digest="new")], SPACE)

    until(lambda: ids(works, {"title": "Another"}) == ["sea"])
    assert works.vectors(["sea"], SPACE)["sea"] == pytest.approx(SEA.vector, abs=1e-6)
    assert works.search(SEA.vector, 1, EVERYTHING, SPACE)[0].metadata == {"title": "Another"}


def test_deleting_says_how_many_there_were(works: Store) -> None:
    assert works.delete(["sea", "no such item", "dogs"]) == 2
    until(lambda: sorted(ids(works)) == ["bare", "boat"])
    assert works.about().count == 2


def test_what_was_taken_out_can_be_put_in_again(works: Store) -> None:
    works.delete(["sea"])
    until(lambda: "sea" not in ids(works))

    works.upsert([SEA], SPACE)

    until(lambda: ids(works)[0] == "sea")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"title": "The sea"}, ["sea"]),
        ({"title": "the sea"}, []),
        ({"title": ["A boat", "Two dogs"]}, ["boat", "dogs"]),
        ({"tags": "water"}, ["sea", "boat"]),
        ({"tags": ["storm", "animals"]}, ["sea", "dogs"]),
        ({"year": 1840}, ["sea"]),
        ({"year": 1840.0}, ["sea"]),
        ({"year": 1902.5}, ["dogs"]),
        ({"year": "1840"}, []),
        ({"year": [1840, 1911]}, ["sea", "boat"]),
        ({"year": {"gte": 1902.5}}, ["boat", "dogs"]),
        ({"year": {"gte": 1841, "lte": 1910}}, ["dogs"]),
        ({"year": {"lte": 1840}}, ["sea"]),
        ({"year": {"gte": "1"}}, []),
        ({"title": {"gte": "B"}}, ["sea", "dogs"]),
        ({"title": {"gte": "A", "lte": "B"}}, ["boat"]),
        ({"title": {"gte": 1}}, []),
        ({"on_view": True}, ["sea"]),
        ({"on_view": False}, ["dogs"]),
        ({"on_view": 1}, []),
        ({"on_view": "true"}, []),
        ({"on_view": [True, False]}, ["sea", "dogs"]),
        ({"tags": "water", "year": {"gte": 1900}}, ["boat"]),
        ({"tags": "water", "on_view": False}, []),
        ({"maker": "?"}, []),
        ({"no such field": "x"}, []),
    ],
)
def test_a_filter_lets_through_what_it_describes(works: Store, where: dict[str, Any], expected: list[str]) -> None:
    assert ids(works, where) == expected


HOSTILE = [
    'a "quote"',
    "a 'quote'",
    "back\\slash",
    "percent % and _",
    "$.path",
    "{{x}}",
    "ünï 😀",
    "a.b",
    "a\nb",
    "; --",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_values_are_only_ever_compared(store: Store, text: str) -> None:
    items = [
        Item(text, unit(1), {text: text, "list": [text, "other"]}),
        Item("other", unit(0, 1), {"other": text + "x", "list": ["other"]}),
    ]
    store.upsert(items, SPACE)
    until(lambda: len(ids(store)) == 2)

    assert ids(store, {text: text}) == [text]
    assert ids(store, {"list": text}) == [text]
    assert ids(store, {text: {"gte": text, "lte": text}}) == [text]
    assert store.has_field(text)
    assert store.fields()[text] == Field((Common(text, 1),), 1)
    assert store.metadata_of([text]) == {text: items[0].metadata}
    assert [*store.vectors([text], SPACE)] == [text]
    assert store.search(unit(1), 1, EVERYTHING, SPACE)[0].metadata == items[0].metadata
    assert store.delete([text]) == 1


def test_metadata_comes_back_as_it_was_put_in(store: Store) -> None:
    metadata = {
        "long": "x" * 100_000, "deep": {"a": [1, {"b": None}]}, "none": None, "empty": [], "mixed": [1, "1", True],
        "a": "a string", "a.b": "beside it", "number": 1.5, "": "no name",
    }  # fmt: skip
    store.upsert([Item("one", unit(1), metadata), Item("two", unit(0, 1), {"a": 7, "number": "a string"})], SPACE)

    until(lambda: len(ids(store)) == 2)
    assert store.search(unit(1), 1, EVERYTHING, SPACE)[0].metadata == metadata
    assert ids(store, {"mixed": "1"}) == ids(store, {"mixed": 1}) == ids(store, {"mixed": True}) == ["one"]
    assert ids(store, {"a": 7}) == ["two"]


def test_the_fields_that_filters_can_look_at_are_known(works: Store) -> None:
    assert all(map(works.has_field, ("title", "year", "tags", "on_view")))
    assert not works.has_field("no such field")


def counted(field: Field) -> list[tuple[str, Any, int]]:
    """Its values, of which 1 and true would be equal, with their types and counts."""
    return [(type(common.value).__name__, common.value, common.count) for common in field.values]


def test_what_filters_can_be_made_of_is_counted(works: Store) -> None:
    fields = works.fields()

    assert [*fields] == ["on_view", "tags", "title", "year"]
    assert counted(fields["on_view"]) == [("bool", False, 1), ("bool", True, 1)]
    assert counted(fields["tags"]) == [("str", "water", 2), ("str", "animals", 1), ("str", "storm", 1)]
    assert counted(fields["year"]) == [("int", 1840, 1), ("float", 1902.5, 1), ("int", 1911, 1)]
    assert {name: field.distinct for name, field in fields.items()} == {"on_view": 2, "tags": 3, "title": 3, "year": 3}
    assert (fields["year"].lowest, fields["year"].highest) == (1840, 1911)
    assert fields["title"].lowest is fields["on_view"].highest is None


def test_what_is_taken_out_or_replaced_is_no_longer_counted(works: Store) -> None:
    works.delete(["dogs"])
    works.upsert([replace(SEA, metadata={"year": 1850})], SPACE)
    until(lambda: sorted(ids(works, {"year": {"gte": 1}})) == ["boat", "sea"])

    fields = works.fields()

    assert counted(fields["year"]) == [("int", 1850, 1), ("int", 1911, 1)]
    assert counted(fields["tags"]) == [("str", "water", 1)]
    assert "on_view" not in fields


def test_values_of_several_types_are_counted_apart_and_once_for_each_item(store: Store) -> None:
    mixed = [True, 1, 1.0, "1", 1, "1", 0.5, -0.0, -(2**60)]
    store.upsert([Item("one", unit(1), {"mixed": mixed}), Item("two", unit(0, 1), {"mixed": ["1", 0]})], SPACE)
    until(lambda: len(ids(store)) == 2)

    (field,) = store.fields().values()

    assert counted(field) == [
        ("int", 0, 2),
        ("str", "1", 2),
        ("bool", True, 1),
        ("float", -(2.0**60), 1),
        ("float", 0.5, 1),
        ("int", 1, 1),
    ]
    assert (field.distinct, field.lowest, field.highest) == (6, -(2.0**60), 1)


def test_of_a_field_the_most_common_values_are_told(store: Store) -> None:
    names = [f"{number:02}" for number in range(MOST_VALUES + 10)]
    items = [Item(name, unit(1), {"all": names, "own": [*names[-5:], name]}) for name in names]
    store.upsert(items, SPACE)
    until(lambda: len(ids(store, limit=100)) == len(items))

    fields = store.fields()

    assert fields["all"] == Field(tuple(Common(name, len(items)) for name in names[:MOST_VALUES]), len(items))
    assert [common.value for common in fields["own"].values] == names[-5:] + names[: MOST_VALUES - 5]


def test_of_a_field_with_too_many_values_the_bounds_are_told_alone(store: Store) -> None:
    numbers = [number / 2 for number in range(MOST_DISTINCT + 2)]
    metadata = {"few": numbers[:MOST_DISTINCT], "many": [*map(str, numbers)], "numbers": [*numbers, "a", True]}
    store.upsert([Item("one", unit(1), metadata)], SPACE)
    until(lambda: len(ids(store)) == 1)

    fields = store.fields()

    assert (len(fields["few"].values), fields["few"].distinct) == (MOST_VALUES, MOST_DISTINCT)
    assert fields["many"] == Field((), MOST_DISTINCT + 1)
    assert fields["numbers"] == Field((), MOST_DISTINCT + 1, 0, numbers[-1])


def test_of_too_many_fields_the_first_are_told(store: Store) -> None:
    names = sorted(f"{number}ü" for number in range(MOST_FIELDS + 10))
    store.upsert([Item("one", unit(1), dict.fromkeys(names, "x"))], SPACE)
    until(lambda: len(ids(store)) == 1)

    assert [*store.fields()] == names[:MOST_FIELDS]


def test_metadata_is_given_by_id_for_those_that_are_there(works: Store) -> None:
    assert works.metadata_of(["dogs", "no such item", "bare"]) == {"dogs": DOGS.metadata, "bare": {}}
    assert works.metadata_of([]) == {}


def test_vectors_are_given_by_id_for_those_that_are_there(works: Store) -> None:
    vectors = works.vectors(["dogs", "no such item", "sea"], SPACE)

    assert sorted(vectors) == ["dogs", "sea"]
    assert vectors["dogs"] == pytest.approx(DOGS.vector, abs=1e-6)
    assert vectors["sea"].dtype == np.float32


def test_digests_and_items_are_of_everything_that_is_there(works: Store) -> None:
    works.delete(["dogs"])
    until(lambda: "dogs" not in ids(works))

    assert works.digests() == {"sea": "a", "boat": "c", "bare": "d"}
    kept = {item.id: item for item in works.items()}
    assert {identity: (item.metadata, item.digest) for identity, item in kept.items()} == {
        item.id: (item.metadata, item.digest) for item in (SEA, BOAT, BARE)
    }
    assert kept["boat"].vector == pytest.approx(BOAT.vector, abs=1e-6)


def test_vectors_of_another_space_are_refused(works: Store) -> None:
    with pytest.raises(SpaceMismatch, match=SPACE):
        works.upsert([Item("new", unit(1), {})], OTHER_SPACE)
    with pytest.raises(SpaceMismatch, match=SPACE):
        works.search(SEA.vector, 10, EVERYTHING, OTHER_SPACE)
    with pytest.raises(SpaceMismatch, match=SPACE):
        works.vectors(["sea"], OTHER_SPACE)
    assert works.about().count == len(WORKS)


def test_vectors_of_another_length_are_refused(works: Store) -> None:
    with pytest.raises(SpaceMismatch, match="16"):
        works.upsert([Item("new", unit(1, dimensions=16), {})], SPACE)
    with pytest.raises(SpaceMismatch, match="16"):
        works.search(unit(1, dimensions=16), 10, EVERYTHING, SPACE)
    assert works.about().count == len(WORKS)


def test_an_index_anew_takes_the_place_of_the_old_one_when_it_is_whole(works: Store, another: Store) -> None:
    until(lambda: len(ids(another)) == len(WORKS))
    new = [Item("sea", unit(0, 0, 1), {"new": True}), Item("field", unit(0, 0, 0, 1), {})]

    with works.anew() as fresh:
        fresh.upsert(new, OTHER_SPACE)
        assert len(ids(another)) == len(WORKS)

    until(lambda: another.about().space == OTHER_SPACE)
    found = another.search(unit(0, 0, 1), 10, EVERYTHING, OTHER_SPACE)
    assert [each.id for each in found] == ["sea", "field"]
    assert works.about().count == 2
    with pytest.raises(SpaceMismatch):
        works.search(SEA.vector, 10, EVERYTHING, SPACE)
    works.upsert([Item("later", unit(1), {})], OTHER_SPACE)
    until(lambda: another.search(unit(1), 1, EVERYTHING, OTHER_SPACE)[0].id == "later")


def test_an_index_anew_of_another_length_may_take_the_place_too(works: Store) -> None:
    with works.anew() as fresh:
        fresh.upsert([Item("one", unit(1, dimensions=16), {})], OTHER_SPACE)

    assert works.about().dimensions == 16


def test_an_index_anew_that_fails_leaves_the_old_one(works: Store) -> None:
    def fail() -> None:
        with works.anew() as fresh:
            fresh.upsert([Item("one", unit(1), {})], OTHER_SPACE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert ids(works) == ["sea", "boat", "bare", "dogs"]
    works.upsert([Item("later", unit(1), {})], SPACE)
    until(lambda: "later" in ids(works))


def test_where_nothing_is_yet_an_index_can_be_begun_anew(store: Store) -> None:
    with store.anew() as fresh:
        fresh.upsert(WORKS, SPACE)

    until(lambda: len(ids(store)) == len(WORKS))


@pytest.mark.slow
def test_many_items_are_found_as_exactly_as_by_comparing_all(store: Store) -> None:
    items = random_items(3000)
    for start in range(0, len(items), 1000):
        store.upsert(items[start : start + 1000], SPACE)
    store.settle()
    until(lambda: store.about().count == len(items))
    vectors = np.array([item.vector for item in items])
    asked = vectors[:20] + 0.3 * np.random.default_rng(1).standard_normal((20, DIMENSIONS)).astype(np.float32)

    shares = []
    for vector in asked / np.linalg.norm(asked, axis=1, keepdims=True):
        best = {items[row].id for row in np.argsort(-(vectors @ vector))[:10]}
        shares.append(len(best & {found.id for found in store.search(vector, 10, EVERYTHING, SPACE)}) / 10)

    assert np.mean(shares) >= 0.95
    assert len(ids(store, limit=2500)) == 2500
    assert ids(store, {"number": {"gte": 10, "lte": 12}}, near=items[11])[0] == "item-11"
    assert len(ids(store, {"number": {"gte": 10, "lte": 12}})) == 3
    assert len(ids(store, {"parity": "odd"}, limit=1400)) == 1400


def test_threads_may_search_while_others_put_in(works: Store) -> None:
    failures: list[BaseException] = []

    def search() -> None:
        try:
            for _ in range(20):
                assert ids(works, limit=1) == ["sea"]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        works.upsert([Item(f"far-{number}", unit(0, 0, 1), {})], SPACE)
    for thread in threads:
        thread.join()

    assert not failures
