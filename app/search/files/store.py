"""A `Store` in a folder. The folder is made when something is put in."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any, ClassVar

import numpy as np
from filelock import FileLock, Timeout

from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable
from app.search.fields import MOST_FIELDS, Field
from app.search.files import nearest
from app.search.files.items import NO_KEY_YET, Items
from app.search.files.nearest import Label
from app.search.files.state import State
from app.search.filters import Filter
from app.search.store import About, Found, Item, Store, check_space

INDEX = "faiss.index"
UNFINISHED = f"{INDEX}.unfinished"
ITEMS = "items-{}.sqlite"
# Who changes items waits so long for whoever else does; only a new beginning takes longer than that.
PATIENCE_S = 5.0

# What tells one file from another that has taken its place.
_Stamp = tuple[int, int, int]


class FileStore:
    """An index in a folder, which begins at the file of this name."""

    kind: ClassVar[str] = "faiss"

    def __init__(self, folder: Path, index: str = INDEX) -> None:
        self._folder = folder
        self._index = folder / index
        self._lock = FileLock(folder / f"{index}.lock", timeout=PATIENCE_S)
        self._opening = threading.Lock()
        self._opened: tuple[_Stamp, State] | None = None

    def about(self) -> About:
        state = self._state()
        if state is None:
            return About(None, None, 0)
        with state.items.reading() as items:
            return replace(items.about(), details=state.details())

    def upsert(self, items: Sequence[Item], space: str) -> None:
        if not items:
            return
        dimensions = len(items[0].vector)
        with self._changing():
            state = self._state() or self._begun()
            with state.items.writing() as written:
                about = written.about()
                check_space(about, space, dimensions)
                if about.space is None:
                    written.begin(space, dimensions)
                written.put(items)

    def delete(self, ids: Sequence[str]) -> int:
        if self._state() is None:
            return 0
        with self._changing():
            state = self._state() or self._begun()
            with state.items.writing() as items:
                return items.delete(ids)

    def search(self, vector: Vectors, limit: int, where: Filter, space: str) -> list[Found]:
        state = self._state()
        if state is None:
            return []
        with state.items.reading() as items:
            check_space(items.about(), space, len(vector))
            among = items.matching(where) if where else None
            return state.search(items, np.ascontiguousarray(vector, np.float32), limit, among)

    def vectors(self, ids: Sequence[str], space: str) -> dict[str, Vectors]:
        state = self._state()
        if state is None:
            return {}
        with state.items.reading() as items:
            about = items.about()
            check_space(about, space, about.dimensions or 0)
            return items.vectors_of(ids)

    def metadata_of(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        state = self._state()
        if state is None:
            return {}
        with state.items.reading() as items:
            return items.metadata_of(ids)

    def has_field(self, name: str) -> bool:
        state = self._state()
        if state is None:
            return False
        with state.items.reading() as items:
            return items.has_field(name)

    def fields(self) -> dict[str, Field]:
        state = self._state()
        found: dict[str, Field] = {}
        last = ""
        while state is not None and len(found) < MOST_FIELDS:
            with state.items.reading() as items:  # each field by itself, so that writers come in between
                name = items.field_after(last)
                if name is None:
                    break
                found[name] = items.field(name)
                last = name
        return found

    def digests(self) -> dict[str, str]:
        state = self._state()
        if state is None:
            return {}
        with state.items.reading() as items:
            return items.digests()

    def items(self) -> Iterator[Item]:
        state = self._state()
        last = NO_KEY_YET
        while state is not None:
            with state.items.reading() as items:
                last, some = items.items_after(last, nearest.BATCH)
            if not some:
                return
            yield from some

    def settle(self) -> None:
        state = self._state()
        if state is None or not state.has_changed_much():
            return
        made = self._index.with_name(f"{self._index.name}.{token_hex(4)}")
        try:
            state.make(made)
            with self._changing():
                if self._names(state):  # else it was begun anew meanwhile
                    made.replace(self._index)
        except OSError as error:
            raise IndexUnavailable("The index can't be written.") from error
        finally:
            made.unlink(missing_ok=True)

    @contextmanager
    def anew(self) -> Iterator[Store]:
        with self._changing():
            self._forget_unfinished()
            fresh = FileStore(self._folder, UNFINISHED)
            try:
                fresh._begun()
                yield fresh
                fresh.settle()
                fresh._index.replace(self._index)
            finally:
                fresh.close()
                self._forget_unfinished()

    def close(self) -> None:
        with self._opening:
            if self._opened is not None:
                self._opened[1].items.close()
            self._opened = None

    def _state(self) -> State | None:
        """The folder's state, opened again if the index is another one than before; None if there is none."""
        try:
            stamp = _stamp(self._index)
            opened = self._opened
            if opened is not None and opened[0] == stamp:
                return opened[1]
            with self._opening:
                if self._opened is None or self._opened[0] != stamp:
                    state = State(self._index)
                    if self._opened is not None:
                        self._opened[1].items.close()
                    self._opened = stamp, state
                return self._opened[1]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise IndexUnavailable("The index can't be read.") from error

    def _begun(self) -> State:
        """An index without items, where there was none."""
        items = Items(self._folder / ITEMS.format(token_hex(4)))
        items.create()
        made = self._index.with_name(f"{self._index.name}.{token_hex(4)}")
        nearest.made(made, items.path.name, NO_KEY_YET, 0, 1, lambda: iter(()))
        made.replace(self._index)
        state = self._state()
        assert state is not None
        return state

    def _names(self, state: State) -> bool:
        current = self._state()
        return current is not None and current.label.items == state.label.items

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes items, or which items there are. Whoever is killed meanwhile lets go."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = self._lock.acquire()
        except Timeout:
            raise IndexUnavailable("The index is being changed by somebody else; try again soon.") from None
        except OSError as error:
            raise IndexUnavailable("The index can't be written.") from error
        with lock:
            yield

    def _forget_unfinished(self) -> None:
        """Remove what a new beginning has left that came to nothing, and items of an index that is no longer."""
        (self._folder / UNFINISHED).unlink(missing_ok=True)
        (self._folder / f"{UNFINISHED}.lock").unlink(missing_ok=True)
        try:
            kept = Label.read(self._index).items
        except FileNotFoundError:
            kept = None
        except IndexUnavailable:  # damaged: somebody may want to save its items
            return
        for file in self._folder.glob(ITEMS.format("*") + "*"):
            if kept is None or not file.name.startswith(kept):
                file.unlink()


def _stamp(file: Path) -> _Stamp:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
