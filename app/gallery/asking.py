"""What an address of the page asks for, and the address that asks for it.

q
    words to be near to
not
    words to be far from
like
    the id of an item to be near to
picture
    the vector of a visitor's picture; the picture itself is kept nowhere
f.NAME, from.NAME, to.NAME
    what a field of the metadata must be: one of these values, within bounds
offset
    how many of the nearest are passed over
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlencode

import numpy as np

from app.embeddings.engines import Vectors
from app.errors import InvalidRequest
from app.gallery.collection import Wish
from app.search.store import DEEPEST

# So many results at once.
PAGE = 48
# From here the last are shown that an index can be asked for: one more than a page, to see whether there are more.
LAST_OFFSET = DEEPEST - PAGE - 1
# How much of what is near to words to avoid is taken away: as much as of what is wished for would leave little of that.
AVOIDED = -0.5
ONE_OF, FROM, TO = "f.", "from.", "to."
# A vector as it stands in an address: in 16 bits, which changes a cosine by less than 0.0001, after its space.
PICTURE = re.compile(r"([0-9A-Za-z]{1,64})\.([0-9A-Za-z_-]+)")


@dataclass(frozen=True)
class Asked:
    """What is asked for."""

    text: str = ""
    without: str = ""
    like: str = ""
    picture: str = ""
    one_of: Mapping[str, list[str]] = field(default_factory=dict)
    lowest: Mapping[str, str] = field(default_factory=dict)
    highest: Mapping[str, str] = field(default_factory=dict)
    offset: int = 0

    @classmethod
    def of(cls, parameters: Iterable[tuple[str, str]]) -> Self:
        """What the parameters of an address ask for. What none of them may be is passed over, as links get old."""
        given: dict[str, str] = {}
        one_of: dict[str, list[str]] = {}
        for name, value in parameters:
            if name.startswith(ONE_OF) and value:
                one_of.setdefault(name.removeprefix(ONE_OF), []).append(value)
            else:
                given[name] = value
        return cls(
            text=given.get("q", "").strip(),
            without=given.get("not", "").strip(),
            like=given.get("like", ""),
            picture=given.get("picture", ""),
            one_of=one_of,
            lowest=_starting(FROM, given),
            highest=_starting(TO, given),
            offset=_offset(given.get("offset", "")),
        )

    @property
    def is_search(self) -> bool:
        """Whether there is something to be near to; words to avoid and filters alone rank nothing."""
        return bool(self.text or self.like or self.picture)

    @property
    def is_filtered(self) -> bool:
        """Whether not everything may be found."""
        return bool(self.one_of or self.lowest or self.highest)

    def wishes(self) -> list[Wish]:
        """What results are to be near to and far from."""
        wishes = []
        if self.picture:
            wishes.append(Wish(vector=vector_in(self.picture)[1]))
        if self.like:
            wishes.append(Wish(item=self.like))
        if self.text:
            wishes.append(Wish(text=self.text))
        if self.without:
            wishes.append(Wish(text=self.without, weight=AVOIDED))
        return wishes

    def address(self, **changes: Any) -> str:
        """The query of the address that asks for this, but for some changes."""
        return urlencode([*replace(self, **changes)._parameters()])

    def _parameters(self) -> Iterator[tuple[str, str]]:
        named = {"q": self.text, "not": self.without, "like": self.like, "picture": self.picture}
        yield from ((name, value) for name, value in named.items() if value)
        yield from ((ONE_OF + name, value) for name, values in self.one_of.items() for value in values)
        for start, bounds in ((FROM, self.lowest), (TO, self.highest)):
            yield from ((start + name, value) for name, value in bounds.items())
        if self.offset:
            yield "offset", str(self.offset)


def as_picture(vector: Vectors, space: str) -> str:
    """A vector as it stands in an address."""
    return f"{space}.{urlsafe_b64encode(vector.astype('<f2').tobytes()).decode().rstrip('=')}"


def vector_in(picture: str) -> tuple[str, Vectors]:
    """The space and the vector that stand in an address.

    Raises:
        InvalidRequest: none does.
    """
    damaged = InvalidRequest("The address of this search is damaged.")
    match = PICTURE.fullmatch(picture)
    if match is None:
        raise damaged
    try:
        data = urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
        vector = np.frombuffer(data, "<f2").astype(np.float32)
    except ValueError:
        raise damaged from None
    length = np.linalg.norm(vector)
    if not np.isfinite(length) or not length:
        raise damaged
    return match[1], vector / length


def _offset(text: str) -> int:
    # Of thousands of digits Python makes no number.
    return min(int(text[:9]), LAST_OFFSET) if text.isascii() and text.isdecimal() else 0


def _starting(start: str, given: Mapping[str, str]) -> dict[str, str]:
    bounds = ((name.removeprefix(start), value.strip()) for name, value in given.items() if name.startswith(start))
    return {name: bound for name, bound in bounds if bound}
