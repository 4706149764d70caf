"""Rows to an index: what has changed, and nothing of what others have put in."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from app.catalogue.indexing import Indexed, index
from app.catalogue.rows import Published, Rows
from app.errors import IndexUnavailable, IndexUnusable
from app.search.files.store import FileStore
from app.search.store import Item

from tests.search.conftest import OTHER_SPACE, SPACE, unit


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    store = FileStore(tmp_path / "index")
    yield store
    store.close()


def row(name: str, title: str = "A title", *, gone: bool = False) -> Published:
    at = 1.0 if gone else None
    return Published(name, f"http://host/{name}", name * 64, f"images/{name}.jpg", 8, 6, 0.5, {"title": title}, at)


def rows(*published: Published, space: str = SPACE) -> Rows:
    vectors = np.array([unit(1, number) for number in range(len(published))], np.float32)
    return Rows(space, published, vectors, ())


def bring(store: FileStore, published: Rows, *, prune: bool = False, rebuild: bool = False) -> Indexed:
    return index(published, store, prune=prune, rebuild=rebuild)


def found(store: FileStore, space: str = SPACE) -> set[str]:
    return {each.id for each in store.search(unit(1), 100, (), space)}


def test_every_row_becomes_an_item_with_what_its_list_says_and_where_its_image_is(store: FileStore) -> None:
    done = bring(store, rows(row("a"), row("b", "Another")))

    assert (done.put, done.deleted, done.count) == (2, 0, 2)
    first, second = store.search(unit(1), 2, (), SPACE)
    assert (first.id, second.id) == ("a", "b")
    assert second.metadata == {
        "title": "Another",
        "url": "http://host/b",
        "image": {"sha256": "b" * 64, "path": "images/b.jpg", "width": 8, "height": 6},
    }


def test_a_second_time_there_is_nothing_to_do(store: FileStore) -> None:
    bring(store, rows(row("a"), row("b")))

    assert bring(store, rows(row("a"), row("b"))).put == 0


def test_only_what_has_changed_is_put_in(store: FileStore) -> None:
    bring(store, rows(row("a"), row("b")))

    assert bring(store, rows(row("a"), row("b", "Another"), row("c"))).put == 2
    assert found(store) == {"a", "b", "c"}


def test_what_others_have_put_in_stays(store: FileStore) -> None:
    store.upsert([Item("theirs", unit(0, 1), {})], SPACE)

    bring(store, rows(row("a")), prune=True)

    assert found(store) == {"a", "theirs"}


def test_what_is_gone_is_marked_and_taken_out_only_if_that_is_wanted(store: FileStore) -> None:
    bring(store, rows(row("a"), row("b")))

    assert bring(store, rows(row("a"), row("b", gone=True))).deleted == 0
    assert store.search(unit(1, 1), 1, (), SPACE)[0].metadata["gone_at"] == 1.0
    assert bring(store, rows(row("a"), row("b", gone=True)), prune=True).deleted == 1
    assert found(store) == {"a"}


def test_an_index_of_another_space_is_refused(store: FileStore) -> None:
    bring(store, rows(row("a"), space=OTHER_SPACE))

    with pytest.raises(IndexUnusable, match="--rebuild"):
        bring(store, rows(row("a")))
    assert found(store, OTHER_SPACE) == {"a"}


def test_an_index_of_another_space_is_made_anew_if_that_is_wanted(store: FileStore) -> None:
    store.upsert([Item("theirs", unit(0, 1), {})], OTHER_SPACE)
    bring(store, rows(row("a"), space=OTHER_SPACE))

    done = bring(store, rows(row("a"), row("b")), rebuild=True)

    assert (done.put, done.count) == (2, 2)
    assert found(store) == {"a", "b"}


def test_an_index_that_is_made_anew_keeps_what_others_have_put_in(store: FileStore) -> None:
    bring(store, rows(row("a"), row("b")))
    store.upsert([Item("theirs", unit(0, 1), {"title": "Theirs"})], SPACE)

    bring(store, rows(row("a"), row("b", gone=True)), rebuild=True, prune=True)

    assert found(store) == {"a", "theirs"}
    assert store.search(unit(0, 1), 1, (), SPACE)[0].metadata == {"title": "Theirs"}


def test_a_damaged_index_is_made_anew_only_if_that_is_wanted(store: FileStore, tmp_path: Path) -> None:
    bring(store, rows(row("a")))
    (tmp_path / "index" / "faiss.index").write_bytes(b"")

    with pytest.raises(IndexUnavailable):
        bring(store, rows(row("a")))
    assert bring(store, rows(row("a")), rebuild=True).count == 1


def test_a_catalogue_where_nothing_was_embedded_leaves_the_index_alone(store: FileStore) -> None:
    store.upsert([Item("theirs", unit(0, 1), {})], SPACE)

    assert bring(store, Rows(None, (), np.empty((0, 0), np.float32), ())) == Indexed(0, 0, 1)


def test_whoever_is_stopped_in_the_middle_is_followed_by_one_who_does_the_rest(store: FileStore) -> None:
    bring(store, rows(row("a")))

    done = bring(store, rows(row("a"), row("b"), row("c")))

    assert done.put == 2
