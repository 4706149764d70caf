"""A store for asyncio: asked in threads, within bounds, and measured."""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable, InvalidRequest, ItemNotFound, Overloaded, ServiceError, SpaceMismatch
from app.search.filters import Filter
from app.search.store import DEEPEST, Found, Item, Store, check_space
from app.telemetry import metrics, timings

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# What one worker asks of an index at once. The threads are its own: vectors are computed in others, and an index that
# doesn't answer would take them all.
AT_ONCE = 8
# After so many changes an index is settled: by itself it would become slower, and nobody else may do it.
SETTLED_AFTER = 5_000
LOWEST_PRIORITY = 19


class Searcher:
    """Asks one store. What nobody waits for any more is given up, but a change that has begun comes to its end.

    Every method raises `IndexUnavailable` where what keeps the index doesn't answer, and `Overloaded` where too much
    is asked of it already.
    """

    def __init__(self, store: Store, *, most_waiting: int) -> None:
        self._store = store
        self._most_waiting = most_waiting
        self._waiting = 0
        self._changed = 0
        self._settling: threading.Thread | None = None
        self._threads = ThreadPoolExecutor(AT_ONCE, "index")

    async def search(
        self,
        vector: Vectors,
        space: str,
        where: Filter,
        *,
        k: int,
        offset: int = 0,
        min_score: float | None = None,
        without: Sequence[str] = (),
    ) -> list[Found]:
        """The items nearest to a unit vector, the nearest first.

        Args:
            vector: what they are to be near to.
            space: that of the vector.
            where: what must be so of their metadata.
            k: how many, at most.
            offset: how many of the nearest are passed over; with `k` up to `DEEPEST`.
            min_score: the lowest cosine that still counts.
            without: ids of items that don't count.

        Raises:
            SpaceMismatch: the index is of another space.
            InvalidRequest: `where` names a field that no item has.
        """
        limit = min(offset + k + len(without), DEEPEST)
        with metrics.searching(self._store.kind) as outcome:
            found = await self._ask(lambda: self._store.search(vector, limit, where, space))
            counting = [
                each for each in found if each.id not in without and (min_score is None or each.score >= min_score)
            ]
            outcome.word = metrics.FOUND if counting else metrics.EMPTY
        if where and not found:
            await self._ask(lambda: check_fields(self._store, where))
        return counting[offset : offset + k]

    async def vectors(self, ids: Sequence[str], space: str) -> dict[str, Vectors]:
        """The vectors of items.

        Raises:
            SpaceMismatch: the index is of another space.
            ItemNotFound: one of them isn't there.
        """
        known = await self._ask(lambda: self._store.vectors(ids, space))
        missing = next((each for each in ids if each not in known), None)
        if missing is not None:
            raise ItemNotFound(f"The index has no item '{missing}'.")
        return known

    async def put_in(self, items: Sequence[Item], space: str) -> None:
        """Put items in, each in the place of what had its id.

        Raises:
            SpaceMismatch: the index is of another space; nothing was put in.
        """
        await self._ask(lambda: self._store.upsert(items, space))
        self.count(metrics.INGESTED, len(items))
        self._changed += len(items)
        if self._changed >= SETTLED_AFTER and not (self._settling and self._settling.is_alive()):
            self._changed = 0
            self._settling = threading.Thread(target=_settle, args=(self._store,), name="settling", daemon=True)
            self._settling.start()

    async def take_out(self, item: str) -> int:
        """Take out the item with an id; how many there were."""
        deleted = await self._ask(lambda: self._store.delete([item]))
        self.count(metrics.DELETED, deleted)
        return deleted

    def count(self, outcome: str, items: int) -> None:
        """Count what has become of so many items."""
        metrics.index_changed(self._store.kind, outcome, items)

    async def look(self, space: str, dimensions: int) -> None:
        """Say in the log what the index is, and whether vectors of this space can be searched in it."""
        try:
            about = await self._ask(self._store.about)
            check_space(about, space, dimensions)
        except SpaceMismatch as error:
            logger.error("%s Searches are refused until it is made anew, or another model is served.", error.detail)
        except IndexUnavailable as error:
            logger.error("%s Searches are refused until it does.", error.detail)
        else:
            logger.info("the index (%s) has %d item(s)", self._store.kind, about.count)

    async def close(self) -> None:
        """Let go of the store."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._store.close)

    async def _ask(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= self._most_waiting:
            raise Overloaded("Too much is asked of the index already; try again soon.")
        self._waiting += 1
        try:
            with timings.measured("search"):
                in_context = copy_context().run  # for the log, which names the request
                return await asyncio.get_running_loop().run_in_executor(self._threads, in_context, work)
        finally:
            self._waiting -= 1


def _settle(store: Store) -> None:
    """Settle a store in a thread of its own, which gives way to all that somebody waits for."""
    if sys.platform == "linux":  # where a priority is a thread's, and of those that it starts
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
    try:
        store.settle()
    except ServiceError as error:
        logger.warning("the index could not be settled: %s", error.detail)
    except Exception:
        logger.exception("a defect")


def check_fields(store: Store, where: Filter) -> None:
    """See whether a filter by which nothing was found names only fields that there are.

    Raises:
        InvalidRequest: it doesn't.
    """
    for condition in where:
        # An index that is empty has no fields at all, which is no mistake of who asks.
        if not store.has_field(condition.field) and store.about().count:
            raise InvalidRequest(f"No item of the index has a field '{condition.field}'.")
