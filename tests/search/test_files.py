"""The index in a folder, beyond what every store keeps to."""

import ctypes
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import faiss
import numpy as np
import pytest
from app.errors import IndexUnavailable
from app.search.files import nearest, state
from app.search.files.nearest import Label
from app.search.files.store import FileStore
from app.search.filters import parsed
from app.search.store import Item

from tests.search.conftest import SPACE, closing, random_items, unit

EVERYTHING = parsed({})
# Of Linux' prctl and capabilities.
DROP_FROM_BOUNDING_SET, MAY_WRITE_ANYTHING = 24, 1
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def store(folder: Path) -> Iterator[FileStore]:
    store = FileStore(folder)
    yield store
    store.close()


@pytest.fixture
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists from a number on that a test can wait for."""
    monkeypatch.setattr(nearest, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(state, "EXACT_UP_TO", 1000)


def ids(store: FileStore, vector: np.ndarray, limit: int = 10) -> list[str]:
    return [found.id for found in store.search(vector, limit, EVERYTHING, SPACE)]


def test_nothing_is_written_until_something_is_put_in(store: FileStore, folder: Path) -> None:
    ids(store, unit(1))
    store.settle()

    assert not folder.exists()


def test_faiss_itself_reads_the_index(store: FileStore, folder: Path) -> None:
    items = random_items(50)
    store.upsert(items, SPACE)
    store.settle()

    index = faiss.read_index(str(folder / "faiss.index"))
    assert index.ntotal == 50
    assert index.reconstruct(1) == pytest.approx(items[0].vector)


def test_a_change_is_found_before_the_index_is_made_anew(store: FileStore, folder: Path) -> None:
    store.upsert(random_items(50), SPACE)
    store.settle()
    made = (folder / "faiss.index").stat().st_mtime_ns

    store.upsert([Item("new", unit(1), {})], SPACE)
    store.delete(["item-7"])

    assert ids(store, unit(1))[0] == "new"
    assert "item-7" not in ids(store, random_items(50)[7].vector, 100)
    assert (folder / "faiss.index").stat().st_mtime_ns == made


@pytest.mark.usefixtures("_few_are_many")
def test_an_index_is_made_anew_only_where_enough_has_changed(store: FileStore, folder: Path) -> None:
    store.upsert(random_items(2000), SPACE)
    store.settle()
    made = (folder / "faiss.index").stat().st_ino

    store.upsert([Item(f"new-{number}", unit(1, number), {}) for number in range(99)], SPACE)
    store.settle()
    assert (folder / "faiss.index").stat().st_ino == made

    store.delete([f"item-{number}" for number in range(10)])
    store.settle()
    assert (folder / "faiss.index").stat().st_ino != made


@pytest.mark.usefixtures("_few_are_many")
def test_many_items_lie_in_lists_and_their_recall_is_measured(store: FileStore, folder: Path) -> None:
    items = random_items(3000)
    store.upsert(items, SPACE)
    store.settle()

    label = Label.read(folder / "faiss.index")
    assert label.probes > 0
    assert label.recall >= 0.99
    vectors = np.array([item.vector for item in items])
    for row in range(20):
        best = {items[place].id for place in np.argsort(-(vectors @ vectors[row]))[:10]}
        assert len(best & set(ids(store, vectors[row]))) >= 8


@pytest.mark.usefixtures("_few_are_many")
def test_so_many_are_found_as_asked_for_though_they_lie_in_lists(store: FileStore) -> None:
    store.upsert(random_items(3000), SPACE)
    store.settle()
    store.delete([f"item-{number}" for number in range(100)])

    assert len(ids(store, unit(1), 2900)) == 2900
    assert len(store.search(unit(1), 5, parsed({"number": {"gte": 2996}}), SPACE)) == 4


def test_who_searches_sees_an_index_that_another_process_has_made(folder: Path, store: FileStore) -> None:
    store.upsert(random_items(50), SPACE)
    store.settle()
    ids(store, unit(1))
    with closing(FileStore(folder)) as other:
        other.upsert(random_items(80), SPACE)
        other.settle()

    assert len(ids(store, unit(1), 100)) == 80
    opened = store._state()
    assert opened is not None
    assert opened.label.count == 80


def test_an_index_that_may_not_be_written_can_be_searched(folder: Path, store: FileStore) -> None:
    store.upsert(random_items(20), SPACE)
    store.settle()
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)

    assert len(search_in_another_process(folder)) == 10


def test_what_may_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with closing(FileStore(tmp_path / "file")) as store, pytest.raises(IndexUnavailable, match="can't be written"):
        store.upsert(random_items(1), SPACE)


def test_a_damaged_index_says_so(folder: Path, store: FileStore) -> None:
    store.upsert(random_items(20), SPACE)
    store.settle()
    whole = (folder / "faiss.index").read_bytes()

    for damage in (b"", whole[:100], whole[:-1], b"no index at all, but long enough to be one" * 10):
        (folder / "faiss.index").write_bytes(damage)
        with pytest.raises(IndexUnavailable, match="damaged"):
            store.about()


def test_a_damaged_index_can_be_begun_anew(folder: Path, store: FileStore) -> None:
    store.upsert(random_items(20), SPACE)
    (folder / "faiss.index").write_bytes(b"")

    with store.anew() as fresh:
        fresh.upsert(random_items(5), SPACE)

    assert store.about().count == 5
    assert len(list(folder.glob("items-*.sqlite"))) == 1


def test_items_of_another_version_are_refused(folder: Path, store: FileStore) -> None:
    store.upsert(random_items(5), SPACE)
    (file,) = folder.glob("items-*.sqlite")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE about SET value = 99 WHERE name = 'format'")
    connection.close()

    with closing(FileStore(folder)) as other, pytest.raises(IndexUnavailable, match="another version"):
        other.about()


def test_who_is_killed_while_writing_leaves_what_was_there(folder: Path, store: FileStore) -> None:
    store.upsert(random_items(20), SPACE)
    program = f"""
import os, signal
from app.search.files.store import FileStore
from app.search.files.items import Writing
from tests.search.conftest import random_items
Writing._count = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
FileStore(__import__("pathlib").Path({str(folder)!r})).upsert(random_items(40), {SPACE!r})
"""
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT)

    assert killed.returncode == -signal.SIGKILL
    assert store.about().count == 20
    store.upsert(random_items(30), SPACE)
    assert store.about().count == 30


def test_what_a_killed_new_beginning_has_left_is_removed_by_the_next(folder: Path, store: FileStore) -> None:
    store.upsert(random_items(20), SPACE)
    program = f"""
import os, signal
from pathlib import Path
from app.search.files.store import FileStore
from tests.search.conftest import random_items
with FileStore(Path({str(folder)!r})).anew() as fresh:
    fresh.upsert(random_items(40), {SPACE!r})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT)
    assert len(list(folder.glob("items-*.sqlite"))) == 2
    assert store.about().count == 20

    with store.anew() as fresh:
        fresh.upsert(random_items(3), SPACE)

    assert store.about().count == 3
    assert {file.name.partition("-")[0] for file in folder.iterdir()} == {"faiss.index", "faiss.index.lock", "items"}
    assert len(list(folder.glob("items-*.sqlite"))) == 1


def test_who_changes_an_index_does_not_wait_for_ever(folder: Path, store: FileStore) -> None:
    store.upsert(random_items(5), SPACE)

    with (
        mock.patch("app.search.files.store.PATIENCE_S", 0.05),
        closing(FileStore(folder)) as other,
        store.anew(),
        pytest.raises(IndexUnavailable, match="try again"),
    ):
        other.upsert(random_items(1), SPACE)


def test_an_index_that_is_begun_anew_meanwhile_is_not_brought_back(folder: Path, store: FileStore) -> None:
    store.upsert(random_items(20), SPACE)
    with closing(FileStore(folder)) as other:

        def make_late(self: state.State, path: Path) -> None:
            with mock.patch.object(state.State, "make", make), other.anew() as fresh:
                fresh.upsert(random_items(3), SPACE)
            make(self, path)

        make = state.State.make
        with mock.patch.object(state.State, "make", make_late):
            store.settle()

    assert store.about().count == 3


def search_in_another_process(folder: Path) -> list[str]:
    """What somebody finds who may write only where permissions say so."""
    program = f"""
import json
from pathlib import Path
from app.search.files.store import FileStore
from tests.search.conftest import unit
print(json.dumps([found.id for found in FileStore(Path({str(folder)!r})).search(unit(1), 10, (), {SPACE!r})]))
try:
    (Path({str(folder)!r}) / "new").touch()
except PermissionError:
    pass
else:
    raise SystemExit("it may be written")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, preexec_fn=without_privileges
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def without_privileges() -> None:
    """Let permissions count for root too, from the next program on."""
    ctypes.CDLL(None).prctl(DROP_FROM_BOUNDING_SET, MAY_WRITE_ANYTHING, 0, 0, 0)
