"""What there is to show of an item: read from its metadata, whatever that holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from app.gallery.collection import Item
from app.images.thumbnail import fitted
from app.search.filters import Scalar, scalars

# The fields that are looked for, the likeliest first.
TITLES = ("title", "name", "caption", "label")
BY = (("artist", "author", "creator", "painter"), ("year", "date"), ("medium", "technique"))
DESCRIPTIONS = ("alt", "alt_text", "caption", "description")
PICTURES = ("url", "image_url", "image")
PAGES = ("page_url", "page", "link", "href")
# What is for programs to know.
HIDDEN = {*PICTURES, *PAGES, "sha256", "path", "width", "height", "gone_at"}
# No picture has longer sides.
LONGEST_SIDE = 100_000
LONGEST_TEXT = 2_000
LONGEST_TITLE = 200


@dataclass(frozen=True)
class Picture:
    """Where an item's picture is, and what stands for this version of it."""

    path: str | None
    url: str | None
    version: str


@dataclass(frozen=True)
class Shown:
    """An item as the page shows it. Sizes are the small thumbnail's, None where they aren't known beforehand."""

    id: str
    title: str
    by: str
    alt: str
    facts: list[tuple[str, str]]
    score: float | None
    picture: Picture | None
    size: tuple[int, int] | None
    page: str | None


def shown(item: Item) -> Shown:
    """An item as the page shows it."""
    said = {field: _joined(values) for field, values in scalars(item.metadata).items()}
    title = _first(said, TITLES) or item.id
    by = [text for names in BY if (text := _first(said, names))]
    description = _first(said, DESCRIPTIONS)
    return Shown(
        id=item.id,
        title=_cut(title, LONGEST_TITLE),
        by=_cut(", ".join(by), LONGEST_TITLE),
        alt=_cut(description or ", ".join([title, *by]), LONGEST_TITLE),
        facts=[(name.replace("_", " "), _cut(text, LONGEST_TEXT)) for name, text in said.items() if name not in HIDDEN],
        score=item.score,
        picture=_picture(item.metadata),
        size=_size(item.metadata),
        page=next((url for name in (*PAGES, *PICTURES) if (url := _web(item.metadata.get(name)))), None),
    )


def small(item: Shown, side: int) -> tuple[int, int] | None:
    """How large an item's thumbnail is, whose longer side has at most so many pixels."""
    return fitted(item.size, side) if item.size else None


def _picture(metadata: Mapping[str, Any]) -> Picture | None:
    about = metadata.get("image")
    about = about if isinstance(about, Mapping) else {}
    path = about.get("path") if isinstance(about.get("path"), str) else None
    url = next((url for name in PICTURES if (url := _web(metadata.get(name)))), None) or _web(about.get("url"))
    if path is None and url is None:
        return None
    known = about.get("sha256") if isinstance(about.get("sha256"), str) else f"{path} {url}"
    return Picture(path, url, sha256(f"{known}".encode(errors="replace")).hexdigest()[:16])


def _size(metadata: Mapping[str, Any]) -> tuple[int, int] | None:
    about = metadata.get("image")
    places = [about, metadata] if isinstance(about, Mapping) else [metadata]
    for place in places:
        width, height = _side(place.get("width")), _side(place.get("height"))
        if width and height:
            return width, height
    return None


def _side(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= LONGEST_SIDE else None


def _web(value: Any) -> str | None:
    """A URL that a browser may be sent to: no script, no file."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return value if parts.scheme in ("http", "https") and parts.netloc else None


def _first(said: Mapping[str, str], names: Iterable[str]) -> str:
    return next((said[name] for name in names if said.get(name, "").strip()), "")


def _joined(values: Iterable[Scalar]) -> str:
    return ", ".join(spoken(value) for value in values)


def spoken(value: Scalar) -> str:
    """A value of metadata for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) and not value.is_integer() else str(value)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
