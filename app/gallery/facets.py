"""What results can be filtered by: the fields of the metadata that few values, or numbers, are in."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.gallery.asking import Asked
from app.gallery.shown import HIDDEN, spoken
from app.search.fields import Field
from app.search.filters import Scalar

MOST_FACETS = 10
# More values are nothing to choose from; fewer numbers are better chosen than bounded.
MOST_CHOICES = 40


@dataclass(frozen=True)
class Choice:
    """A value to choose, and how many items of the index have it."""

    value: str
    count: int
    is_chosen: bool


@dataclass(frozen=True)
class Facet:
    """A field: its values to choose from, or else bounds of its numbers."""

    name: str
    choices: Sequence[Choice]
    bounds: tuple[float, float] | None
    lowest: str
    highest: str

    @property
    def label(self) -> str:
        return self.name.replace("_", " ")

    @property
    def is_used(self) -> bool:
        return bool(self.lowest or self.highest or any(choice.is_chosen for choice in self.choices))


def facets(fields: Mapping[str, Field], count: int, asked: Asked) -> list[Facet]:
    """What of an index of so many items can be filtered by, and what is."""
    found = [_facet(name, field, asked) for name, field in fields.items() if name not in HIDDEN]
    return [facet for facet in found if _tells_apart(facet, count)][:MOST_FACETS]


def where(fields: Mapping[str, Field], asked: Asked) -> dict[str, Any]:
    """The filter that is asked for, in the form that `/search` takes. Fields that are no more are left out."""
    wanted: dict[str, Any] = {
        name: [typed for value in values for typed in _typed(value, fields[name])]
        for name, values in asked.one_of.items()
        if name in fields
    }
    for bound, given in (("gte", asked.lowest), ("lte", asked.highest)):
        for name, text in given.items():
            number = _number(text)
            if name in fields and name not in asked.one_of and number is not None:
                wanted.setdefault(name, {})[bound] = number
    return wanted


def _facet(name: str, field: Field, asked: Asked) -> Facet:
    chosen = asked.one_of.get(name, [])
    choices = [Choice(spoken(each.value), each.count, spoken(each.value) in chosen) for each in field.values]
    bounds = None
    if field.lowest is not None and field.highest is not None and field.distinct > MOST_CHOICES // 2:
        bounds, choices = (field.lowest, field.highest), []
    if field.distinct > MOST_CHOICES:
        choices = []
    return Facet(name, choices, bounds, asked.lowest.get(name, ""), asked.highest.get(name, ""))


def _tells_apart(facet: Facet, count: int) -> bool:
    """Whether a facet leaves something out and something in: else it is as good as a title."""
    if facet.bounds:
        return facet.bounds[0] < facet.bounds[1]
    return any(0 < choice.count < count for choice in facet.choices) and any(
        choice.count > 1 for choice in facet.choices
    )


def _typed(value: str, field: Field) -> list[Scalar]:
    """The values of a field that are shown like this."""
    return [each.value for each in field.values if spoken(each.value) == value] or [value]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
