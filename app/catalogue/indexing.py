"""Rows of vectors to the index where they are searched: what has changed, as the index itself tells it."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, TypeVar

import orjson

from app.catalogue.rows import Published, Rows
from app.errors import IndexUnavailable, IndexUnusable
from app.search.store import About, Item, Store

logger = logging.getLogger(__name__)

Some = TypeVar("Some")

# Enough for each to be quick, few enough that who searches, or puts in something else, hardly waits.
BATCH = 2000


@dataclass(frozen=True)
class Indexed:
    """What has changed in the index: items put in and taken out, and how many there are now."""

    put: int
    deleted: int
    count: int


def index(
    rows: Rows, store: Store, *, prune: bool, rebuild: bool, told: Callable[[int, int], None] = lambda *_: None
) -> Indexed:
    """Bring an index to what the rows say. What else is in it, as what `/ingest` has put in, stays.

    Args:
        rows: what is published.
        store: the index.
        prune: whether to take out the rows that are gone from their list.
        rebuild: whether to make the index anew, which its being of another space needs.
        told: is told how many of how many are put in.

    Raises:
        IndexUnusable: the index is of another space.
        IndexUnavailable: it doesn't answer.
    """
    try:
        about = store.about()
    except IndexUnavailable:
        if not rebuild:  # which is what helps where files are damaged
            raise
        about = About(None, None, 0)
    same = about.space == rows.space
    if rows.space is None:
        return Indexed(0, 0, about.count)
    if not same and about.space is not None and not rebuild:
        raise IndexUnusable(
            f"the index is of space {about.space}, the catalogue of {rows.space}: --rebuild makes it anew, and what "
            "was put into it by others is then lost"
        )
    kept = [(row, place) for place, row in enumerate(rows.rows) if not (prune and row.gone_at)]
    pruned = [row.id for row in rows.rows if prune and row.gone_at]
    if rebuild:
        ours = {row.id for row in rows.rows}
        with store.anew() as fresh:
            _put(fresh, rows, kept, told)
            if same:
                for items in _batches(item for item in store.items() if item.id not in ours):
                    fresh.upsert(items, rows.space)
        return Indexed(len(kept), len(pruned), store.about().count)
    known = store.digests()
    deleted = sum(store.delete(ids) for ids in _batches(iter(pruned)))
    changed = [(row, place) for row, place in kept if known.get(row.id) != _digest(row, rows.space)]
    _put(store, rows, changed, told)
    store.settle()
    return Indexed(len(changed), deleted, store.about().count)


def _put(store: Store, rows: Rows, some: Sequence[tuple[Published, int]], told: Callable[[int, int], None]) -> None:
    assert rows.space is not None
    done = 0
    for batch in _batches(iter(some)):
        items = [Item(row.id, rows.vectors[place], _metadata(row), _digest(row, rows.space)) for row, place in batch]
        store.upsert(items, rows.space)
        done += len(items)
        told(done, len(some))


def _metadata(row: Published) -> dict[str, Any]:
    """What the index tells of a row: what its list says, its URL, and where its image is."""
    image = {"sha256": row.sha256, "path": row.path, "width": row.width, "height": row.height}
    gone = {"gone_at": row.gone_at} if row.gone_at else {}
    return {**row.metadata, "url": row.url, "image": image, **gone}


def _digest(row: Published, space: str) -> str:
    told = orjson.dumps([space, _metadata(row)], option=orjson.OPT_SORT_KEYS)
    return sha256(told).hexdigest()[:32]


def _batches(some: Iterator[Some]) -> Iterator[list[Some]]:
    while batch := list(islice(some, BATCH)):
        yield batch
