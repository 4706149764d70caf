"""Where vectors go: JSON lines, or rows of a .npy file with JSON lines beside it. A file appears when it is whole."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import orjson

from app.commands.items import Item
from app.commands.outcomes import Embedded, Outcome
from app.errors import OutputUnavailable

LINES, ROWS = ".jsonl", ".npy"


class Output(Protocol):
    """Takes what became of items, in their order."""

    def write(self, item: Item, outcome: Outcome) -> None:
        """Add one."""

    def flush(self) -> None:
        """Let readers see what was written so far."""


@contextmanager
def opened(path: Path | None) -> Iterator[Output]:
    """Where vectors go: a file, or standard output. A file stays as it was unless everything ends well.

    Raises:
        OutputUnavailable: it can't be written.
    """
    try:
        if path is None:
            yield Lines(sys.stdout.buffer)
            return
        path = path.resolve()
        if path.suffix not in (LINES, ROWS) or path.is_dir():
            raise OutputUnavailable(f"{path} can't be written: name a file that ends in {LINES} or {ROWS}")
        if path.suffix == LINES:
            with _appearing(path) as file:
                yield Lines(file)
        else:
            with _appearing(path) as rows, _appearing(beside(path)) as lines:
                output = Rows(rows, lines)
                yield output
                output.finish()
    except BrokenPipeError:  # it was enough for whoever reads
        raise
    except OSError as error:
        name = "standard output" if path is None else path
        raise OutputUnavailable(f"{name} can't be written ({error.strerror or error})") from error


def beside(rows: Path) -> Path:
    """The file that says what each row of a .npy file is, and what has none."""
    return rows.with_name(rows.name + LINES)


class Lines:
    """A line for each item: its vector, or why there is none."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, item: Item, outcome: Outcome) -> None:
        vector = {"embedding": outcome.vector} if isinstance(outcome, Embedded) else {}
        self._file.write(line(item, outcome, vector))

    def flush(self) -> None:
        self._file.flush()


class Rows:
    """A row of float32 for each item that has a vector. A line for each item says which row, or why there is none."""

    def __init__(self, rows: BinaryIO, lines: BinaryIO) -> None:
        self._rows = rows
        self._lines = lines
        self._shape = (0, 0)

    def write(self, item: Item, outcome: Outcome) -> None:
        count, dimensions = self._shape
        row = {}
        if isinstance(outcome, Embedded):
            row = {"row": count}
            if not count:
                dimensions = len(outcome.vector)
                self._head((0, dimensions))
            self._rows.write(outcome.vector.astype("<f4").tobytes())
            self._shape = (count + 1, dimensions)
        self._lines.write(line(item, outcome, row))

    def flush(self) -> None:
        """Nobody reads what isn't whole."""

    def finish(self) -> None:
        """Write how many there were. NumPy leaves room for it in the header."""
        self._rows.seek(0)
        self._head(self._shape)

    def _head(self, shape: tuple[int, int]) -> None:
        np.lib.format.write_array_header_1_0(self._rows, {"descr": "<f4", "fortran_order": False, "shape": shape})


def line(item: Item, outcome: Outcome, vector: dict[str, Any]) -> bytes:
    """An item's line; `vector` is how it gives the vector."""
    # Paths and texts may hold bytes that aren't UTF-8.
    named = {"item": item.name.encode(errors="replace").decode(), "kind": item.kind}
    if isinstance(outcome, Embedded):
        origin = {"dimensions": len(outcome.vector), "space": outcome.space}
        fields = named | vector | origin | dict(outcome.about)
    else:
        fields = named | {"error": {"code": outcome.code, "detail": outcome.detail}}
    return orjson.dumps(fields, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


@contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.unfinished-", dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
