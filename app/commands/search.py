"""`tate-embeddings search`: what of an index is nearest to words, or to an image."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.commands.embed import outcomes
from app.commands.items import URL, Item
from app.commands.outcomes import Embeds, Failed
from app.config import DEMONSTRATION, Settings
from app.embeddings.model import prepare
from app.errors import IndexUnusable, InvalidRequest, SearchUnusable, ServiceError, SpaceMismatch
from app.search.filters import Filter, parsed
from app.search.opening import in_folder, opened
from app.search.searcher import check_fields
from app.search.store import Found

# What stands beside a title, where it is known.
LABEL = ("artist", "year", "medium")
# As far as scores reach.
INDENT = " " * 7

# What embeds for an index of a space.
Embedding = Callable[[str], AbstractContextManager[Embeds]]


@dataclass(frozen=True)
class Place:
    """Where an index is, the folder at which paths in it begin, if that's known, and what to say if none is there."""

    index_url: str
    folder: Path | None
    missing: str
    is_demonstration: bool = False

    @classmethod
    def of(cls, folder: Path | None, index_url: str, gallery: Path) -> Self:
        """The index in a folder that was named, the one that `INDEX_URL` names, or else the demonstration's."""
        if folder:
            way_out = f"'tate-embeddings catalogue run LIST --dir {folder}' makes one"
            return cls(in_folder(folder), folder, f"there is no index in {folder}; {way_out}")
        if index_url:
            return cls(index_url, None, "nothing has been put into the index of INDEX_URL yet")
        missing = f"there is no gallery in {gallery}; 'make demo' paints one"
        return cls(in_folder(gallery), gallery, missing, is_demonstration=True)


@dataclass(frozen=True)
class Wanted:
    """What to look for, what must be so of it, how many, and the lowest cosine that still counts."""

    sought: Item
    where: Filter
    k: int
    min_score: float | None

    @classmethod
    def of(cls, query: str | None, image: str | None, where: str | None, k: int, min_score: float | None) -> Self:
        """What the words of a command ask for: the query or the image, a file or a URL; `where` is a filter's JSON.

        Raises:
            SearchUnusable: it isn't one of the two, or the filter is none.
        """
        if query is not None and image is None:
            sought = Item("text", query)
        elif image is not None and query is None:
            sought = Item("url" if URL.match(image) else "file", image)
        else:
            example = 'tate-embeddings search "a stormy sea at night"'
            raise SearchUnusable(f"say what to look for, by words or by --image, for example: {example}")
        return cls(sought, _filter(where) if where is not None else (), k, min_score)


def search(place: Place, wanted: Wanted, embedding: Embedding) -> list[Found]:
    """The items of an index that are nearest to what is wanted, the nearest first.

    Raises:
        SearchUnusable: that has no vector, or the filter names a field that no item has.
        IndexUnusable: there is no index, it is of another space, or it can't be read now.
    """
    try:
        with closing(opened(place.index_url)) as store:
            space = store.about().space
            if space is None:
                raise IndexUnusable(place.missing)
            with embedding(space) as embeds:
                (outcome,) = outcomes([wanted.sought], embeds)
            if isinstance(outcome, Failed):
                raise SearchUnusable(f"what to look for has no vector: {outcome.detail}")
            found = store.search(outcome.vector, wanted.k, wanted.where, outcome.space)
            if wanted.where and not found:
                check_fields(store, wanted.where)
    except SpaceMismatch as error:
        way_out = "Name the model that it was made with (MODEL_NAME and PRETRAINED, or --service), or make it anew."
        raise IndexUnusable(f"{error.detail} {way_out}") from error
    except InvalidRequest as error:
        raise SearchUnusable(error.detail) from error
    except ServiceError as error:
        raise IndexUnusable(f"the index can't be searched: {error.detail}") from error
    return [each for each in found if wanted.min_score is None or each.score >= wanted.min_score]


def suited(settings: Settings, place: Place, space: str) -> Settings:
    """Settings with the model for an index of this space.

    It is the demonstration's for the demonstration's gallery, and wherever its vectors are, else the one they name.

    Raises:
        ModelUnavailable: the demonstration's model is damaged.
    """
    demonstrating = settings.model_copy(update={"model_name": DEMONSTRATION, "pretrained": "bundled"})
    if place.is_demonstration or space == prepare(demonstrating, thoroughly=False).manifest.space:
        return demonstrating
    return settings


def for_people(found: Found, folder: Path | None) -> str:
    """What was found as lines to read: how near and what it is, and where it can be seen."""
    told = found.metadata
    label = ", ".join(str(told[name]) for name in LABEL if told.get(name))
    title = f"{told.get('title') or found.id}{' - ' if label else ''}{label}"
    seen = _where_it_can_be_seen(told, folder)
    return "\n".join([f"{found.score:.3f}  {_printable(title)}", *([INDENT + _printable(seen)] if seen else [])])


def for_programs(found: Found) -> str:
    """What was found as a line of JSON, as `/search` gives it."""
    result = {"id": found.id, "score": found.score, "metadata": dict(found.metadata)}
    return json.dumps(result, ensure_ascii=False)


def _filter(where: str) -> Filter:
    try:
        conditions = json.loads(where)
    except (ValueError, RecursionError):
        conditions = None
    if not isinstance(conditions, dict):
        raise SearchUnusable('--filter is no JSON object; one is like {"year": {"gte": 1900}}')
    try:
        return parsed(conditions)
    except InvalidRequest as error:
        raise SearchUnusable(error.detail) from error


def _where_it_can_be_seen(metadata: Mapping[str, Any], folder: Path | None) -> str | None:
    url, image = metadata.get("url"), metadata.get("image")
    if isinstance(url, str):
        return url
    path = image.get("path") if isinstance(image, dict) else None
    if isinstance(path, str):
        return str(folder / path) if folder else path
    return None


def _printable(text: str) -> str:
    """A text without what would move a terminal's cursor: whoever puts something into an index says what it is."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
