"""Whose turn it is to put another index in the place of one, and what becomes of those who come in between."""

import threading

import pytest
from app.errors import IndexUnavailable, SpaceMismatch
from app.search.elasticsearch import turns
from app.search.filters import parsed
from app.search.store import Item, Store

from tests.search.conftest import OTHER_SPACE, SPACE, unit
from tests.search.elasticsearch.conftest import ITEM, LATER, another, make_anew, once, put_in
from tests.search.elasticsearch.fields import Refused
from tests.search.elasticsearch.stand_in import Asked, StandIn

EVERYTHING = parsed({})


def kept(index: Store) -> list[str]:
    return sorted(index.digests())


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes an index anew is held for dead at once."""
    monkeypatch.setattr(turns, "HELD_S", -1)


def as_if_killed(stand_in: StandIn, index: Store) -> None:
    """Begin to make an index anew, and be gone in the middle of it."""
    with pytest.raises(IndexUnavailable):
        make_anew(index, LATER, SPACE, lambda: stand_in.drop("."))
    stand_in.faults.clear()


@pytest.mark.parametrize("spaces", [(SPACE, SPACE), (SPACE, OTHER_SPACE)])
def test_of_two_who_make_the_first_index_one_succeeds(stand_in: StandIn, spaces: tuple[str, str]) -> None:
    together = threading.Barrier(2)
    failures: list[SpaceMismatch] = []

    def before(asked: Asked) -> None:
        if asked.method == "PUT" and "/_" not in asked.path:
            together.wait(10)

    def put_one_in(item: Item, space: str) -> None:
        try:
            put_in(stand_in, item, space)
        except SpaceMismatch as error:
            failures.append(error)

    stand_in.before = before
    threads = [threading.Thread(target=put_one_in, args=each) for each in zip((ITEM, LATER), spaces, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(stand_in.cluster.indexes) == 1
    assert len(failures) == len(set(spaces)) - 1
    with another(stand_in) as index:
        assert len(kept(index)) == 2 - len(failures)


def test_what_is_put_in_never_lands_in_an_index_of_another_space(stand_in: StandIn, filled: Store) -> None:
    with another(stand_in) as other:
        stand_in.before = once("_bulk", lambda: make_anew(other, ITEM, OTHER_SPACE))

        with pytest.raises(SpaceMismatch, match=OTHER_SPACE):
            filled.upsert([LATER], SPACE)

    assert kept(filled) == ["sea"]
    with pytest.raises(SpaceMismatch, match=OTHER_SPACE):
        filled.search(unit(1), 1, EVERYTHING, SPACE)


def test_what_is_put_in_makes_no_index_by_its_name(stand_in: StandIn, filled: Store) -> None:
    stand_in.before = once("_bulk", stand_in.cluster.indexes.clear)

    with pytest.raises(IndexUnavailable):
        filled.upsert([LATER], SPACE)

    assert not stand_in.cluster.indexes


def test_an_index_anew_comes_into_place_by_one_request_and_the_old_one_goes(stand_in: StandIn, filled: Store) -> None:
    (old,) = stand_in.cluster.indexes

    make_anew(filled, LATER, OTHER_SPACE)

    (new,) = stand_in.cluster.indexes
    swap, removal = stand_in.asked[-2:]
    changes = [(kind, how["index"], how["alias"]) for each in swap.body["actions"] for kind, how in each.items()]
    held = changes[2][2]
    filling = changes[3][2]
    assert held.startswith("tate_embeddings-held-")
    assert filling.startswith("tate_embeddings-filling-")
    assert swap.path == "/_aliases"
    assert changes == [
        ("remove", old, "tate_embeddings"),
        ("remove", old, f"tate_embeddings-{SPACE}"),
        ("remove", old, held),
        ("remove", new, filling),
        ("remove", new, f"{filling}-{OTHER_SPACE}"),
        ("remove", new, f"{filling}-free"),
        ("add", new, "tate_embeddings"),
        ("add", new, f"tate_embeddings-{OTHER_SPACE}"),
        ("add", new, "tate_embeddings-free"),
    ]
    assert all(each["remove"]["must_exist"] for each in swap.body["actions"] if "remove" in each)
    assert str(removal) == f"DELETE /{old}"
    assert stand_in.cluster.indexes[new].settings["index.refresh_interval"] == "1s"


def test_an_index_anew_without_items_leaves_none(stand_in: StandIn, filled: Store) -> None:
    with filled.anew():
        pass

    assert not stand_in.cluster.indexes
    assert filled.about().count == 0


def test_an_index_anew_that_fails_leaves_nothing_of_itself(stand_in: StandIn, filled: Store) -> None:
    (before,) = stand_in.cluster.indexes.values()

    with pytest.raises(ZeroDivisionError), filled.anew():
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        make_anew(filled, LATER, OTHER_SPACE, lambda: 1 / 0)

    assert [*stand_in.cluster.indexes] == [before.name]
    assert "tate_embeddings-free" in before.aliases


def test_an_old_index_that_cant_be_removed_is_removed_later(stand_in: StandIn, filled: Store) -> None:
    stand_in.fail("DELETE", 503)
    make_anew(filled, LATER, SPACE)
    assert len(stand_in.cluster.indexes) == 2
    stand_in.faults.clear()

    make_anew(filled, LATER, SPACE)

    assert len(stand_in.cluster.indexes) == 1
    assert kept(filled) == ["later"]


def test_while_an_index_is_made_anew_the_old_one_is_searched_and_takes_nothing(
    stand_in: StandIn, filled: Store
) -> None:
    filled.settle()
    with another(stand_in) as writer, filled.anew():
        with pytest.raises(IndexUnavailable, match="anew"):
            writer.upsert([LATER], SPACE)
        with pytest.raises(IndexUnavailable, match="anew"):
            writer.delete(["sea"])
        assert [found.id for found in writer.search(unit(1), 10, EVERYTHING, SPACE)] == ["sea"]


def test_two_dont_make_an_index_anew_at_once(stand_in: StandIn, filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interfere() -> None:
        monkeypatch.setattr(turns, "HELD_S", 0)
        with another(stand_in) as second, pytest.raises(IndexUnavailable, match="somebody else"):
            make_anew(second, ITEM, OTHER_SPACE)

    make_anew(filled, LATER, SPACE, interfere)

    assert kept(filled) == ["later"]


def test_one_who_makes_an_index_anew_says_so_again(
    stand_in: StandIn, filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "RENEWED_S", 0)

    make_anew(filled, LATER, SPACE)

    turns_said = {how["alias"] for asked in stand_in.requests("_aliases") for action in asked.body["actions"]
                  for how in action.values() if "-held-" in how["alias"]}  # fmt: skip
    assert len(turns_said) > 3
    assert kept(filled) == ["later"]


@pytest.mark.usefixtures("dead")
def test_a_killed_one_keeps_writers_out_for_a_while_only(stand_in: StandIn, filled: Store) -> None:
    as_if_killed(stand_in, filled)

    filled.upsert([LATER], SPACE)
    assert filled.delete(["sea"]) == 1

    assert kept(filled) == ["later"]


@pytest.mark.usefixtures("dead")
def test_what_a_killed_one_has_left_is_removed_by_the_next(stand_in: StandIn, filled: Store) -> None:
    not_ours = "tate_embeddings-not-ours"
    stand_in.cluster.create(not_ours, {"settings": {}, "mappings": {"dynamic": False, "properties": {}}})
    as_if_killed(stand_in, filled)
    assert len(stand_in.cluster.indexes) == 3

    make_anew(filled, LATER, SPACE)

    assert len(stand_in.cluster.indexes) == 2
    assert not_ours in stand_in.cluster.indexes
    assert kept(filled) == ["later"]


@pytest.mark.usefixtures("dead")
def test_one_held_for_dead_can_put_nothing_in_place_any_more(stand_in: StandIn, filled: Store) -> None:
    with pytest.raises(IndexUnavailable):
        make_anew(filled, ITEM, OTHER_SPACE, lambda: put_in(stand_in))

    assert kept(filled) == ["later", "sea"]
    assert filled.about().space == SPACE


@pytest.mark.usefixtures("dead")
def test_one_held_for_dead_notices_when_it_says_so_again(
    stand_in: StandIn, filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def let_others_in() -> None:
        put_in(stand_in)
        monkeypatch.setattr(turns, "RENEWED_S", 0)

    with pytest.raises(IndexUnavailable, match="others"):
        make_anew(filled, ITEM, SPACE, let_others_in)

    assert kept(filled) == ["later", "sea"]


def test_an_index_that_has_come_into_place_in_the_meantime_stays(stand_in: StandIn, index: Store) -> None:
    with pytest.raises(IndexUnavailable):
        make_anew(index, ITEM, OTHER_SPACE, lambda: put_in(stand_in))

    assert kept(index) == ["later"]
    assert index.about().space == SPACE


def test_a_swap_that_fails_loses_nothing_of_either(stand_in: StandIn, filled: Store) -> None:
    # It may be carried out yet, so what was filled isn't removed.
    with pytest.raises(IndexUnavailable):
        make_anew(filled, LATER, SPACE, lambda: stand_in.fail("_aliases", 503, times=2))

    assert len(stand_in.cluster.indexes) == 2
    filled.upsert([LATER], SPACE)
    assert kept(filled) == ["later", "sea"]


def test_a_swap_that_comes_late_finds_that_it_isnt_its_turn_any_more(stand_in: StandIn, filled: Store) -> None:
    found: list[str] = []

    def carry_it_out(asked: Asked) -> None:
        if asked.body == {"index.blocks.write": False}:  # from now on others write
            (swap, *_) = [each for each in stand_in.requests("_aliases") if len(each.body["actions"]) > 2]
            try:
                stand_in.cluster.update_aliases(swap.body)
            except Refused as error:
                found.append(str(error))

    stand_in.before = carry_it_out

    with pytest.raises(IndexUnavailable):
        make_anew(filled, LATER, SPACE, lambda: stand_in.fail("_aliases", 503, times=2))

    assert [each.startswith("required alias") for each in found] == [True]
    assert kept(filled) == ["sea"]


@pytest.mark.usefixtures("dead")
def test_of_two_who_take_over_from_a_killed_one_one_does(stand_in: StandIn, filled: Store) -> None:
    as_if_killed(stand_in, filled)
    stand_in.before = once("_aliases", lambda: put_in(stand_in))

    with pytest.raises(IndexUnavailable):
        filled.upsert([ITEM], SPACE)

    filled.upsert([ITEM], SPACE)
    assert kept(filled) == ["later", "sea"]


def test_where_nothing_is_and_nothing_is_put_in_there_is_nothing(stand_in: StandIn, index: Store) -> None:
    with index.anew():
        pass

    index.upsert([], SPACE)
    assert not stand_in.cluster.indexes


def test_nothing_is_made_anew_while_a_part_of_the_index_still_writes(stand_in: StandIn, filled: Store) -> None:
    stand_in.cluster.shards["failed"] = 1

    with pytest.raises(IndexUnavailable, match="told before"):
        make_anew(filled, ITEM, SPACE)

    filled.upsert([LATER], SPACE)


def test_a_block_that_isnt_ours_stays(stand_in: StandIn, filled: Store) -> None:
    (name,) = stand_in.cluster.indexes
    stand_in.cluster.block(name, {})

    with pytest.raises(IndexUnavailable):
        filled.upsert([LATER], SPACE)

    assert stand_in.cluster.indexes[name].settings["index.blocks.write"]
