"""A store for asyncio: asked in threads, within bounds, and measured."""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from time import monotonic
from typing import Any, TypeVar

from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable, InvalidRequest, ItemNotFound, Overloaded, ServiceError, SpaceMismatch
from app.search.fields import Field
from app.search.filters import Filter, scalars
from app.search.store import DEEPEST, About, Found, Item, Store, check_space
from app.telemetry import metrics, timings, tracebacks

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# What one worker asks of an index at once. The threads are its own: vectors are computed in others, and an index that
# doesn't answer would take them all.
AT_ONCE = 8
# After so many changes an index is settled: by itself it would become slower, and nobody else may do it.
SETTLED_AFTER = 5_000
LOWEST_PRIORITY = 19
# For so long what was counted of all items is told again.
REMEMBERED_S = 30.0
# And for so long at most while it is counted again.
TOLD_FOR_S = 300.0


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
        self._counted: tuple[float, Mapping[str, Field]] | None = None
        self._counting: asyncio.Task[Mapping[str, Field]] | None = None
        self._threads = ThreadPoolExecutor(AT_ONCE, "index")

    @property
    def kind(self) -> str:
        """What keeps the index."""
        return self._store.kind

    async def about(self) -> About:
        """What the index is now."""
        return await self._ask(self._store.about)

    async def fields(self) -> Mapping[str, Field]:
        """The fields that filters can look at, by name, as they were not long ago.

        They are counted once for all who ask at the same time, and remembered.
        """
        age = monotonic() - self._counted[0] if self._counted else TOLD_FOR_S
        if self._counted and age < REMEMBERED_S:
            return self._counted[1]
        if self._counting is None:
            self._counting = asyncio.create_task(self._count_fields())
            self._counting.add_done_callback(_say_why)  # it may be that nobody waits for it
        if self._counted and age < TOLD_FOR_S:
            return self._counted[1]
        return await asyncio.shield(self._counting)

    async def item(self, identity: str) -> Mapping[str, Any]:
        """The metadata of an item.

        Raises:
            ItemNotFound: it isn't there.
        """
        known = await self._ask(lambda: self._store.metadata_of([identity]))
        if identity not in known:
            raise _no_item(identity)
        return known[identity]

    async def some(self, most: int) -> list[Item]:
        """Some items, as many as are wanted or there are."""
        # What it leaves of them is let go of with the iterator.
        return await self._ask(lambda: [*islice(self._store.items(), most)])

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
            raise _no_item(missing)
        return known

    async def put_in(self, items: Sequence[Item], space: str) -> None:
        """Put items in, each in the place of what had its id.

        Raises:
            SpaceMismatch: the index is of another space; nothing was put in.
        """
        await self._ask(lambda: self._store.upsert(items, space))
        self.count(metrics.INGESTED, len(items))
        if self._counted and any(each not in self._counted[1] for item in items for each in scalars(item.metadata)):
            self._counted = None  # a field that is new is told at once
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
        if self._counting is not None:
            self._counting.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._store.close)

    async def _count_fields(self) -> Mapping[str, Field]:
        try:
            fields = await self._ask(self._store.fields)
            self._counted = monotonic(), fields
            return fields
        finally:
            self._counting = None

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


def _say_why(counting: asyncio.Task[Mapping[str, Field]]) -> None:
    """Say in the log why the fields of an index weren't counted, if they weren't."""
    if not counting.cancelled() and (error := counting.exception()) is not None:
        logger.warning("the index's fields could not be counted: %s", tracebacks.named(error))


def _no_item(identity: str) -> ItemNotFound:
    return ItemNotFound(f"The index has no item '{identity}'.")


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
