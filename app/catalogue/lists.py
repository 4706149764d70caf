"""A list of images as rows that are alike. What is wrong with a line costs that line alone, and is said of it."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, cast

import orjson

from app.catalogue.lines import STDIN as STDIN
from app.catalogue.lines import Line, Unreadable, lines, opened
from app.errors import CatalogueUnusable
from app.search.store import MAX_ID_BYTES, is_id, storable

ID_DIGITS = 32

_PART = re.compile("([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list: what a picture is known by, where it is, and what there is to say of it."""

    id: str
    url: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Rejected:
    """A line that gives no row, and why: `code` for programs, `detail` for people.

    Lines are counted from 1, as editors do, and of several that are one it is the first. In Parquet rows are counted.
    """

    line: int
    code: str
    detail: str


@dataclass(frozen=True)
class List:
    """What a list says. `repeated` lines have the id and the URL of an earlier one, which is no fault."""

    rows: Sequence[Row]
    rejected: Sequence[Rejected]
    repeated: int


@dataclass(frozen=True)
class Shard:
    """A part of a list: the `number`th (from 1) of so many."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The part that is written like `2/8`.

        Raises:
            ValueError: it isn't, and the message says so.
        """
        written = _PART.fullmatch(text)
        shard = cls(int(written[1]), int(written[2])) if written else None
        if shard is None or not 1 <= shard.number <= shard.of:
            raise ValueError(f"a part is written like 2/8, the second of eight, and not {text!r}")
        return shard

    def has(self, url: str) -> bool:
        """Whether a URL is in this part, which is the same on every machine and in every run."""
        return int.from_bytes(_digest(url)[:8], "big") % self.of == self.number - 1


class _Fault(NamedTuple):
    code: str
    detail: str
    url: str = ""


def default_id(url: str) -> str:
    """The id of a picture for which a list has none."""
    return _digest(url).hex()[:ID_DIGITS]


def read(source: str, shard: Shard | None = None) -> List:
    """The rows of a list in their order, or of a part of it.

    Args:
        source: a file, or `-` for standard input.
        shard: the part. A line that gives no row is reported in the part that its URL is in; without one in the first.

    Raises:
        CatalogueUnusable: the list can't be read at all.
    """
    numbers: set[str] = set()
    try:
        with opened(source) as file:
            return _listed(lines(source, file, numbers), shard, numbers)
    except OSError as error:
        raise CatalogueUnusable(f"the list {source} can't be read ({error.strerror})") from error


def _listed(said: Iterable[Line | Unreadable], shard: Shard | None, numbers: set[str]) -> List:
    kept: dict[str, Row] = {}
    at: dict[str, int] = {}
    rejected = []
    repeated = 0
    for line in said:
        judged = _judged(line)
        if isinstance(judged, Row):
            earlier = kept.setdefault(judged.id, judged)
            if earlier is judged:
                at[judged.id] = line.number
                continue
            if earlier.url == judged.url:
                repeated += _is_in(shard, judged.url)
                continue
            detail = f"Its id {judged.id!r} is that of line {at[judged.id]}, which has another URL and is kept."
            judged = _Fault("duplicate_id", detail, judged.url)
        if _is_in(shard, judged.url):
            rejected.append(Rejected(line.number, judged.code, judged.detail))
    rows = [row for row in kept.values() if _is_in(shard, row.url)]
    for row in rows if numbers else ():
        # Only now is it known, and in a second copy a long list would take twice the memory.
        _make_numbers(cast(dict[str, Any], row.metadata), numbers)
    return List(rows, rejected, repeated)


def _judged(line: Line | Unreadable) -> Row | _Fault:
    """The row that a line gives, or why it gives none."""
    if isinstance(line, Unreadable):
        return _Fault("unreadable", line.detail)
    url = line.url.strip() if isinstance(line.url, str) else ""
    if not url:
        return _Fault("no_url", "It has no URL.")
    name = default_id(url) if line.id is None else _text_of(line.id)
    if name is None:
        detail = f"Its id is blank, has more than {MAX_ID_BYTES} bytes, or is neither text nor a number."
        return _Fault("bad_id", detail, url)
    try:
        written = orjson.dumps([[[[line.metadata]]]])  # as deep as it stands in an answer of the service
    except TypeError:
        return _Fault("unreadable", "Its metadata is nested too deeply.", url)
    # Hardly any has need of it, and it would take longer than all the rest.
    metadata = storable(line.metadata) if b"\\u0000" in written else line.metadata
    return Row(name, url, metadata)


def _text_of(name: Any) -> str | None:
    """What is given as an id, if it can be one."""
    if isinstance(name, int | float) and not isinstance(name, bool):
        name = str(name)
    return name if is_id(name) else None


def _make_numbers(metadata: dict[str, Any], names: set[str]) -> None:
    for name in names & metadata.keys():
        metadata[name] = orjson.loads(metadata[name])


def _is_in(shard: Shard | None, url: str) -> bool:
    return shard is None or (shard.has(url) if url else shard.number == 1)


def _digest(url: str) -> bytes:
    return hashlib.sha256(url.encode()).digest()
