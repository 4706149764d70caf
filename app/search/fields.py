"""What an index's items have in their metadata: the fields that filters can be made of, and their common values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.search.filters import Scalar, scalars

# So many fields are told of, the first by their names: more is nothing that people choose from.
MOST_FIELDS = 200
# A field with more distinct values than this has them of its items, as titles are, and none is common.
MOST_DISTINCT = 1000
MOST_VALUES = 50
# Up to here every whole number is a double of its own.
WHOLE_UP_TO = 2**53


@dataclass(frozen=True)
class Common:
    """A value, and how many items have it."""

    value: Scalar
    count: int


@dataclass(frozen=True)
class Field:
    """A field of metadata.

    `values` are the most common, the most common first, and none where there are more than `MOST_DISTINCT`; then
    `distinct` is one more than that. `lowest` and `highest` are of its numbers, None where it has none.
    """

    values: tuple[Common, ...]
    distinct: int
    lowest: float | None = None
    highest: float | None = None


def field_of(counted: Iterable[tuple[Scalar, int]] | None, lowest: float | None, highest: float | None) -> Field:
    """A field, by how many items have each of its values, and by the bounds of its numbers.

    Args:
        counted: all of its values; None, or more than `MOST_DISTINCT` of them, where there are too many.
        lowest: of its numbers.
        highest: likewise.
    """
    bounds = [None if bound is None else number(bound) for bound in (lowest, highest)]
    values = [Common(plain(value), count) for value, count in counted or ()]
    if counted is None or len(values) > MOST_DISTINCT:
        return Field((), MOST_DISTINCT + 1, *bounds)
    return Field(tuple(sorted(values, key=_commonest)[:MOST_VALUES]), len(values), *bounds)


def fields_of(all_metadata: Iterable[Mapping[str, Any]]) -> dict[str, Field]:
    """The fields of items, by all that is said of them."""
    seen: dict[str, _Seen] = {}
    for metadata in all_metadata:
        for name, values in scalars(metadata).items():
            seen.setdefault(name, _Seen()).add(values)
    return {name: seen[name].field() for name in sorted(seen)[:MOST_FIELDS]}


def plain(value: Scalar) -> Scalar:
    """A value as it is told, whatever a store makes of numbers."""
    return value if isinstance(value, bool | str) else number(value)


def number(value: float) -> float:
    """1871 for 1871.0."""
    value = float(value)
    return int(value) if value.is_integer() and abs(value) <= WHOLE_UP_TO else value


class _Seen:
    """What was seen of one field."""

    def __init__(self) -> None:
        # By type too, as 1 isn't true. Of more values than are told of, the rest aren't counted.
        self._counts: dict[tuple[type, Scalar], int] = {}
        self._bounds: tuple[float, float] | None = None

    def add(self, values: Iterable[Scalar]) -> None:
        """What one item has."""
        distinct = {(type(value), value) for value in map(plain, values)}
        for value in distinct:
            if value in self._counts or len(self._counts) <= MOST_DISTINCT:
                self._counts[value] = self._counts.get(value, 0) + 1
        numbers = [value for _, value in distinct if not isinstance(value, bool | str)]
        if numbers:
            numbers += self._bounds or ()
            self._bounds = min(numbers), max(numbers)

    def field(self) -> Field:
        """The field as it is told of."""
        counted = ((value, count) for (_, value), count in self._counts.items())
        return field_of(counted, *(self._bounds or (None, None)))


def _commonest(common: Common) -> tuple[int, bool, bool, Scalar]:
    """The most common first; of those that are equally so true and false, then numbers, then strings."""
    return -common.count, isinstance(common.value, str), not isinstance(common.value, bool), common.value
