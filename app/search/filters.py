"""What must be so of an item's metadata: read from a request's JSON, and understood alike by every kind of store.

A filter looks at the fields of the metadata object itself, not into objects below it. A field may hold a string, a
number, `true` or `false`, or a list of these, of which one is enough. Numbers are compared with numbers, strings with
strings by their code points; `1`, `"1"` and `true` are three things.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidRequest

Scalar = str | float | bool

MAX_CONDITIONS = 16
MAX_VALUES = 256
MAX_NAME = 256
MAX_STRING = 8192
BOUNDS = {"gte", "lte"}


@dataclass(frozen=True)
class AnyOf:
    """The field has one of these values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Between:
    """The field has a value within these bounds, both of one type; None is no bound, and one at least is there."""

    field: str
    at_least: str | float | None
    at_most: str | float | None


Condition = AnyOf | Between
# All of them must be so.
Filter = tuple[Condition, ...]


def parsed(raw: Mapping[str, Any]) -> Filter:
    """A filter as it comes in a request: `{field: value | [values] | {"gte", "lte"}}`.

    Raises:
        InvalidRequest: it is something else.
    """
    if len(raw) > MAX_CONDITIONS:
        raise InvalidRequest(f"'filter' has more than {MAX_CONDITIONS} fields.")
    return tuple(_condition(field, wanted) for field, wanted in raw.items())


def scalars(metadata: Mapping[str, Any]) -> dict[str, list[Scalar]]:
    """The values of metadata that filters can see, by field. Strings and names beyond any label are left out."""
    seen = {}
    for field, value in metadata.items():
        values = [each for each in (value if isinstance(value, list) else [value]) if _is_scalar(each)]
        if values and _is_name(field):
            seen[field] = values
    return seen


def _condition(field: str, wanted: Any) -> Condition:
    if not _is_name(field):
        raise InvalidRequest(f"'filter' names a field that is blank or longer than {MAX_NAME} characters.")
    if isinstance(wanted, dict):
        return _between(field, wanted)
    values = wanted if isinstance(wanted, list) else [wanted]
    if not 0 < len(values) <= MAX_VALUES or not all(map(_is_scalar, values)):
        raise InvalidRequest(
            f"'filter.{field}' must be a string, a number, true or false, a list of up to {MAX_VALUES} of these, "
            "or an object with 'gte', 'lte' or both."
        )
    return AnyOf(field, tuple(values))


def _between(field: str, wanted: dict[str, Any]) -> Between:
    bounds = wanted.values()
    of_one_type = all(_is_number(bound) for bound in bounds) or all(
        isinstance(bound, str) and _is_scalar(bound) for bound in bounds
    )
    if not wanted or not wanted.keys() <= BOUNDS or not of_one_type:
        raise InvalidRequest(f"'filter.{field}' must have 'gte', 'lte' or both, which are numbers or strings.")
    return Between(field, wanted.get("gte"), wanted.get("lte"))


def _is_name(field: str) -> bool:
    return bool(field.strip()) and len(field) <= MAX_NAME and _is_text(field)


def _is_scalar(value: Any) -> bool:
    return (
        isinstance(value, bool)
        or _is_number(value)
        or (isinstance(value, str) and len(value) <= MAX_STRING and _is_text(value))
    )


def _is_number(value: Any) -> bool:
    # Beyond what a double holds, stores would differ.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 2**1023


def _is_text(value: str) -> bool:
    """Whether it can be stored anywhere: PostgreSQL takes no NUL, UTF-8 no half of a surrogate pair."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
