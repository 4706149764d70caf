"""What Milvus is asked for a filter's sake, and what it is told of an item so that it can answer.

Names and values may be anything, and Milvus Lite knows no templates that would keep them apart from an expression. So
expressions are made of our words and of numbers that stand for names and values:

    tokens, words      digests of each field's name, and of each value with its field: a list for Milvus, where an
                       index finds them, and a text of them, in which Milvus Lite is quicker to find a few
    <kind><field>_min, <kind><field>_max
                       the range of a field's values of one kind, in a form whose letters sort as the values do,
                       strings by their first bytes

That lets through whatever fits, and sometimes more: a field of which one value lies below a range and another above
it, or an item with more values than there is room for. `fitting` tells what is so.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.search.filters import AnyOf, Condition, Filter, Scalar, scalars

# So many tokens are in reach of Milvus: 4,096 in a list, and 65,535 bytes in a text, of 17 each.
MOST_TOKENS = 3800
# JSON of so many bytes is in its reach beside them, which is 65,536.
MOST_RANGES_BYTES = 60_000
SORTED_BYTES = 32
# Milvus Lite takes 1.3 µs to look for one token in an item's words, and 60 µs for any number of them in its list.
MOST_WORDS = 40

STRING, NUMBER, FLAG = "s", "n", "b"
SIGN = 1 << 63


def seen(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row that say what filters can see of an item."""
    tokens: set[int] = set()
    ranges: dict[str, str] = {}
    for field, values in scalars(metadata).items():
        tokens |= {_name_token(field), *(_value_token(field, value) for value in values)}
        for kind in (STRING, NUMBER):
            if of_kind := sorted(_sorting(value) for value in values if _kind(value) == kind):
                key = _range_key(field, kind)
                ranges |= {f"{key}_min": of_kind[0], f"{key}_max": of_kind[-1]}
    if len(tokens) > MOST_TOKENS or len(json.dumps(ranges)) > MOST_RANGES_BYTES:
        tokens, ranges = {_TOO_MANY}, {}
    return {"tokens": sorted(tokens), "words": " ".join(map(_word, tokens)), **ranges}


def expression(where: Filter, *, is_lite: bool) -> str:
    """What Milvus is asked for: all that fits, and perhaps some that doesn't."""
    return " and ".join(f"({_condition(condition, is_lite=is_lite)})" for condition in where)


def naming(field: str, *, is_lite: bool) -> str:
    """What Milvus is asked for to find items that have a field, and perhaps some that don't."""
    return _any_token([_name_token(field)], is_lite=is_lite)


def fitting(where: Filter) -> Callable[[Mapping[str, Any]], bool]:
    """What tells of an item's metadata whether all conditions are so."""
    tests = [(condition.field, _test(condition)) for condition in where]

    def fits(metadata: Mapping[str, Any]) -> bool:
        values = scalars(metadata) if tests else {}
        return all(any(map(is_so, values.get(field, ()))) for field, is_so in tests)

    return fits


def _condition(condition: Condition, *, is_lite: bool) -> str:
    if isinstance(condition, AnyOf):
        return _any_token((_value_token(condition.field, value) for value in condition.values), is_lite=is_lite)
    bounds = condition.at_least, condition.at_most
    (kind,) = {_kind(bound) for bound in bounds if bound is not None}
    key = _range_key(condition.field, kind)
    sides = zip((f'$meta["{key}_max"] >=', f'$meta["{key}_min"] <='), bounds, strict=True)
    within = " and ".join(f'{side} "{_sorting(bound)}"' for side, bound in sides if bound is not None)
    return f"({within}) or {_any_token([], is_lite=is_lite)}"


def _any_token(tokens: Iterable[int], *, is_lite: bool) -> str:
    tokens = [*tokens, _TOO_MANY]
    if is_lite and len(tokens) <= MOST_WORDS:
        return " or ".join(f'words like "%{_word(token)}%"' for token in tokens)
    return f"array_contains_any(tokens, {tokens})"


def _test(condition: Condition) -> Callable[[Scalar], bool]:
    if isinstance(condition, AnyOf):
        wanted = {(_kind(value), value) for value in condition.values}
        return lambda value: (_kind(value), value) in wanted
    least, most = condition.at_least, condition.at_most
    kind = _kind(most if least is None else least)

    def is_within(value: Any) -> bool:
        return _kind(value) == kind and (least is None or value >= least) and (most is None or value <= most)

    return is_within


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return STRING
    return FLAG if isinstance(value, bool) else NUMBER


def _sorting(value: Any) -> str:
    """A text whose code points sort as strings or numbers do, or alike where they are very close."""
    if isinstance(value, str):
        return value.encode()[:SORTED_BYTES].hex()
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))  # there is but one zero
    return f"{bits ^ (2 * SIGN - 1 if bits & SIGN else SIGN):016x}"


def _range_key(field: str, kind: str) -> str:
    return kind + _word(_name_token(field))


def _name_token(field: str) -> int:
    return _token(field)


def _value_token(field: str, value: Scalar) -> int:
    kind = _kind(value)
    return _token(field, kind, value if kind == STRING else float(value).hex() if value else "0")


def _token(*parts: Any) -> int:
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) % SIGN  # Milvus's numbers have a sign


def _word(token: int) -> str:
    return f"{token:016x}"


# Of an item that has more than there is room for: it may have anything.
_TOO_MANY = _token()
