"""What is published of a catalogue: rows of vectors, and what each is. All of it changes together, or not at all.

What is new is written whole into a folder beside it, which one rename declares valid; then it is moved to its place. A
crash before that rename has changed nothing; after it, whoever comes next moves on.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np

from app.catalogue.files import line_of, lines_of, uncollected
from app.embeddings.engines import Vectors

VECTORS = "embeddings.npy"
METADATA = "metadata.jsonl"
FAILURES = "failures.jsonl"
HISTORY = "embedding_manifest.jsonl"
UNFINISHED, VALID = ".unfinished", ".valid"


class Published(NamedTuple):
    """A row: which picture, what there is to say of it, and since when it isn't in the list any more."""

    id: str
    url: str
    sha256: str
    path: str
    width: int
    height: int
    embedded_at: float
    metadata: Mapping[str, Any]
    gone_at: float | None = None


class Failed(NamedTuple):
    """Why a picture has no vector, or only that of an image that it had before.

    `dead`: it won't have one, unless its image changes.
    """

    id: str
    url: str
    sha256: str
    code: str
    detail: str
    dead: bool
    space: str


Line = TypeVar("Line", Published, Failed)


@dataclass(frozen=True)
class Rows:
    """The rows of one space, the vector of each, and what has none."""

    space: str | None
    rows: Sequence[Published]
    vectors: Vectors
    failures: Sequence[Failed]

    @classmethod
    def read(cls, folder: Path) -> "Rows":
        """What a folder holds; where its files say different things, as much as they agree on."""
        history = [line for line in lines_of(folder / HISTORY) if line is not None]
        with uncollected():
            rows = list(_whole(Published, folder / METADATA))
        try:
            vectors: Vectors = np.load(folder / VECTORS, mmap_mode="r")
        except (FileNotFoundError, ValueError, EOFError):
            vectors = np.empty((0, 0), np.float32)
        count = min(len(rows), len(vectors))
        space = history[-1].get("space") if history else None
        failures = list(_whole(Failed, folder / FAILURES))
        return cls(space, rows[:count], vectors[:count], failures)


def publish(
    folder: Path,
    rows: Sequence[Published],
    vectors: Iterable[Vectors],
    dimensions: int,
    failures: Iterable[Failed],
    change: Mapping[str, Any],
) -> None:
    """Put rows in the place of those that are there.

    Args:
        folder: where.
        rows: which.
        vectors: one for each, in their order.
        dimensions: how many numbers each has.
        failures: what has no row.
        change: the line about this for the history, its space among what it says.

    Raises:
        OSError: they can't be written; then nothing has changed.
    """
    unfinished = folder / UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        with _written(unfinished / VECTORS) as file:
            shape = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), dimensions)}
            np.lib.format.write_array_header_1_0(file, shape)
            file.writelines(vector.astype("<f4").tobytes() for vector in vectors)
        with _written(unfinished / METADATA) as file:
            file.writelines(line_of(row._asdict()) for row in rows)
        with _written(unfinished / FAILURES) as file:
            file.writelines(line_of(failure._asdict()) for failure in failures)
        with _written(unfinished / HISTORY) as file:
            file.writelines(line_of(line) for line in lines_of(folder / HISTORY) if line is not None)
            file.write(line_of(change))
        unfinished.rename(folder / VALID)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    finish(folder)


def finish(folder: Path) -> None:
    """Move what is valid to its place, if whoever wrote it was stopped before that."""
    valid = folder / VALID
    if valid.is_dir():
        for file in sorted(valid.iterdir()):
            file.replace(folder / file.name)
        valid.rmdir()


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _whole(kind: type[Line], path: Path) -> Iterator[Line]:
    """The lines of a file up to the first that isn't one of these: what stands behind it has no place to count by."""
    for line in lines_of(path):
        if line is None or line.keys() != set(kind._fields):
            return
        yield kind(**line)
