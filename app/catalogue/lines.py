"""What the lines of a list say, however it is written: text, a table, JSON, Parquet. None of it is judged here."""

import codecs
import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from app.errors import CatalogueUnusable

STDIN = "-"
PARQUET_ROWS_AT_ONCE = 10_000
# A number as JSON writes it, unless it has more digits than 64 bits hold or a power of ten that a double may not.
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")


class Line(NamedTuple):
    """What a line says, which may be anything. Of several that are one, `number` is that of the first."""

    number: int
    id: Any
    url: Any
    metadata: dict[str, Any]


class Unreadable(NamedTuple):
    """A line that says nothing, and why."""

    number: int
    detail: str


def opened(source: str) -> AbstractContextManager[BinaryIO]:
    """A list as it lies on disk or comes from standard input."""
    return nullcontext(sys.stdin.buffer) if source == STDIN else Path(source).open("rb")


def lines(source: str, file: BinaryIO, numbers: set[str]) -> Iterator[Line | Unreadable]:
    """What the lines of a list say that has been opened.

    Args:
        source: what it is called, which tells how it is written; of standard input its first line does.
        file: the list.
        numbers: in the end it holds the columns of a table in which there are only numbers, written as text.

    Raises:
        CatalogueUnusable: it can't be read at all.
    """
    suffix = Path(source).suffix.lower()
    if suffix == ".parquet":
        return _of_parquet(file)
    split = _split(file)
    if source == STDIN:
        start = _up_to_the_first(split)
        suffix = _suffix_for(start[-1]) if start else ""
        split = chain(start, split)
    if suffix in (".jsonl", ".ndjson", ".json"):
        return _of_json(split)
    if suffix in (".csv", ".tsv"):
        return _of_table(split, "\t" if suffix == ".tsv" else ",", numbers)
    return _of_text(split)


def _split(file: BinaryIO) -> Iterator[bytes]:
    """Lines with what ends them, be it of Windows or of an old Mac, without the mark that may stand before UTF-8."""
    start = file.readline().removeprefix(codecs.BOM_UTF8)
    for piece in chain([start], file):
        yield from piece.splitlines(keepends=True)


def _up_to_the_first(split: Iterator[bytes]) -> list[bytes]:
    """Blank lines, and the one after them."""
    start = []
    for line in split:
        start.append(line)
        if not line.isspace():
            break
    return start


def _suffix_for(first: bytes) -> str:
    """What the name of a list would end with whose first line is this."""
    if first.lstrip().startswith(b"{"):
        return ".jsonl"
    for suffix, separator in ((".tsv", b"\t"), (".csv", b",")):
        if b"url" in [name.strip(b'" \r\n').lower() for name in first.split(separator)]:
            return suffix
    return ""


def _of_text(split: Iterable[bytes]) -> Iterator[Line | Unreadable]:
    for number, line in enumerate(split, 1):
        try:
            url = line.decode().strip()
        except UnicodeDecodeError:
            yield Unreadable(number, "It is not UTF-8.")
            continue
        if url and not url.startswith("#"):
            yield Line(number, None, url, {})


def _of_json(split: Iterable[bytes]) -> Iterator[Line | Unreadable]:
    for number, line in enumerate(split, 1):
        if not line.isspace():
            yield _of_object(number, line)


def _of_object(number: int, line: bytes) -> Line | Unreadable:
    try:
        said = orjson.loads(line)
        if not isinstance(said, dict):
            return Unreadable(number, "It is no JSON object.")
        name, url = _taken(said, "id"), _taken(said, "url")
        if isinstance(name, float):
            # As it is written: 1.10 is another id than 1.1, and of many digits a double has lost some.
            name = _taken(json.loads(line, parse_float=str), "id")
    except (ValueError, RecursionError):
        return Unreadable(number, "It can't be read as JSON in UTF-8.")
    only = said.get("metadata") if len(said) == 1 else None
    return Line(number, name, url, only if isinstance(only, dict) else said)


def _of_table(split: Iterable[bytes], separator: str, numbers: set[str]) -> Iterator[Line | Unreadable]:
    # What isn't UTF-8 becomes halves of surrogate pairs, by which it is found below.
    text = (line.decode(errors="surrogateescape") for line in split)
    reader = csv.reader(text, delimiter=separator, skipinitialspace=True, strict=True)
    names: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            # Less strictly read, lines after a quotation mark that isn't closed would silently be part of a cell.
            if names is None:
                raise CatalogueUnusable("the list's header has quotation marks that don't match") from error
            yield Unreadable(number, f"From it to line {reader.line_num} quotation marks don't match.")
            continue
        if cells is None:
            return
        if not any(cells):
            continue
        if names is not None:
            yield _of_cells(number, names, cells, numbers)
            continue
        names = [name.strip() for name in cells]
        _see_to_urls(names)
        numbers.update(names)


def _of_cells(number: int, names: Sequence[str], cells: Sequence[str], numbers: set[str]) -> Line | Unreadable:
    if any(cells[len(names) :]):
        return Unreadable(number, f"It has {len(cells)} cells, and the header {len(names)}.")
    if not _is_utf8("".join(cells)):
        return Unreadable(number, "It is not UTF-8.")
    said: dict[str, Any] = {name: cell for name, cell in zip(names, cells, strict=False) if name and cell}
    line = Line(number, _taken(said, "id"), _taken(said, "url"), said)
    for name, cell in said.items():
        if name in numbers and not NUMBER.fullmatch(cell):
            numbers.remove(name)
    return line


def _of_parquet(file: BinaryIO) -> Iterator[Line]:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise CatalogueUnusable(
            "a list in Parquet needs pyarrow, which is not installed here: "
            "poetry install --with parquet, or build the image with EXTRAS=,parquet"
        ) from error
    number = 0
    try:
        table = ParquetFile(file)
        names = table.schema_arrow.names
        _see_to_urls(names)
        for batch in table.iter_batches(PARQUET_ROWS_AT_ONCE):
            for cells in zip(*map(_in_json, batch.columns), strict=True):
                number += 1
                said = {name: cell for name, cell in zip(names, cells, strict=True) if cell is not None}
                yield Line(number, _taken(said, "id"), _taken(said, "url"), said)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise CatalogueUnusable(f"the list is no Parquet, or is damaged after row {number}") from error


def _in_json(column: Any) -> Any:
    """The values of a column of Parquet, as they are once they have been written as JSON."""
    from pyarrow import types

    values = _moments(column) if types.is_timestamp(column.type) else column.to_pylist()
    return orjson.loads(orjson.dumps(values, default=_as_json))


def _moments(column: Any) -> list[Any]:
    from pyarrow import timestamp

    # Arrow's own way needs pandas for nanoseconds and a database for time zones, and takes thirty times as long.
    moments = column.cast(timestamp("us"), safe=False).to_numpy(zero_copy_only=False).tolist()
    zone = None if column.type.tz is None else UTC
    return [moment.replace(tzinfo=zone) if isinstance(moment, datetime) else moment for moment in moments]


def _as_json(value: Any) -> Any:
    """What is said in JSON for what isn't of its types."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _see_to_urls(names: Sequence[str]) -> None:
    if not _is_utf8("".join(names)):
        raise CatalogueUnusable("the list's header is not UTF-8")
    if "url" not in map(str.lower, names):
        raise CatalogueUnusable("the list's header names no column 'url'")


def _taken(said: dict[str, Any], name: str) -> Any:
    """What stands under a name, in capitals if need be; it stands there no longer."""
    if name in said:
        return said.pop(name)
    return next((said.pop(key) for key in said if key.lower() == name), None)


def _is_utf8(text: str) -> bool:
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False
