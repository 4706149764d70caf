"""Files that a crash leaves readable: JSON lines of which the last may be broken, and files that appear when whole."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

import orjson


@contextmanager
def uncollected() -> Iterator[None]:
    """While something large is read: nothing of it is garbage, and looking for some would take a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def lines_of(path: Path) -> Iterator[dict[str, Any] | None]:
    """The objects of a file of JSON lines, in order; None for a line that is none. No file has no lines."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                found = None
            yield found if isinstance(found, dict) else None


def line_of(fields: Any) -> bytes:
    """An object as a line."""
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to be written that takes the place of another when the block ends well, and is on the disk by then."""
    unfinished = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def appended(path: Path) -> Iterator[BinaryIO]:
    """A file to which lines are added; one that a crash has cut off stays by itself."""
    with path.open("ab") as file:
        if file.tell() and _last_byte(path) != b"\n":
            file.write(b"\n")
        yield file
        file.flush()
        os.fsync(file.fileno())


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
