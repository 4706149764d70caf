"""What an index holds and what its filters let through, for `testing.py`: in a few lines, as the service's own do."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tate_embeddings_client.results import FieldInfo, ValueCount

MOST_VALUES = 50

Metadata = Mapping[str, Any]


def passes(metadata: Metadata, where: Mapping[str, Any]) -> bool:
    """Whether all that is asked of metadata is so."""
    return all(any(_meets(value, wanted) for value in _values(metadata.get(name))) for name, wanted in where.items())


def described(items: Iterable[Metadata]) -> dict[str, FieldInfo]:
    """What filters can ask the fields of all these for."""
    seen: dict[str, Counter[tuple[str, Any]]] = {}
    for metadata in items:
        for name, value in metadata.items():
            if values := {(_kind(each), each) for each in _values(value)}:
                seen.setdefault(name, Counter()).update(values)
    return {name: _field(counts) for name, counts in seen.items()}


def _field(counts: Counter[tuple[str, Any]]) -> FieldInfo:
    common = sorted(counts, key=lambda each: (-counts[each], each))
    numbers = [value for kind, value in counts if kind == "number"]
    return FieldInfo(
        values=[ValueCount(value=each[1], count=counts[each]) for each in common[:MOST_VALUES]],
        distinct=len(counts),
        lowest=min(numbers, default=None),
        highest=max(numbers, default=None),
    )


def _meets(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        bounds = wanted.values()
        comparable = all(_kind(bound) == _kind(value) for bound in bounds)
        return comparable and wanted.get("gte", value) <= value <= wanted.get("lte", value)
    return any((_kind(each), each) == (_kind(value), value) for each in _values(wanted))


def _values(value: Any) -> list[Any]:
    """A value, or those of a list, without what filters can't see."""
    return [each for each in (value if isinstance(value, list | tuple) else [value]) if _kind(each)]


def _kind(value: Any) -> str:
    """What a value can be equal to: `1`, `"1"` and `True` are three things."""
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else ""
