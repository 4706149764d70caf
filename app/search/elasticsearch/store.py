"""The store in Elasticsearch."""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from elasticsearch import ApiError, BadRequestError, Elasticsearch, NotFoundError
from elasticsearch.helpers import streaming_bulk

from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable
from app.search.elasticsearch import bodies, turns
from app.search.elasticsearch.asking import asking, connected, unavailable, whole
from app.search.fields import Field, fields_of
from app.search.filters import Filter
from app.search.store import DEEPEST, About, Found, Item, Store, check_space

logger = logging.getLogger(__name__)

Action = dict[str, Any]
Hit = Mapping[str, Any]

# A search that takes longer is of no use to the one who waits for it.
SEARCH_TIMEOUT_S = 5.0
# As large as Elasticsearch's own advice has requests: beyond that they only take up its memory.
CHUNK_ITEMS = 500
CHUNK_BYTES = 8 * 1024 * 1024
# Vectors and metadata come in pages of some megabytes.
PAGE_ITEMS = 500
# How long Elasticsearch keeps what is being read as it was, from one page to the next.
KEPT = "5m"
FORBIDDEN, NOT_FOUND = 403, 404


def opened(index_url: str) -> Store:
    """The store that a URL names (`asking.connected` says how it reads); nothing is asked yet.

    Raises:
        IndexUnusable: the URL can't be understood.
    """
    client, name = connected(index_url)
    return ElasticsearchStore(client, name, name)


class ElasticsearchStore:
    """An index behind an alias (`turns.py`). What is put in can be found once Elasticsearch has refreshed it."""

    kind: ClassVar[str] = "elasticsearch"

    def __init__(
        self, client: Elasticsearch, name: str, alias: str, before_each: Callable[[], None] = lambda: None
    ) -> None:
        """Look at what is behind an alias.

        Args:
            client: asks Elasticsearch.
            name: what indexes are called by.
            alias: the name itself or, of an index that is being filled, another.
            before_each: called before each item that is put in.
        """
        self._client = client
        self._searching = client.options(request_timeout=SEARCH_TIMEOUT_S)
        self._name = name
        self._alias = alias
        self._before_each = before_each

    def about(self) -> About:
        now = self._now()
        if now is None:
            return About(None, None, 0)
        with asking():
            count = whole(self._client.count(index=self._alias))["count"]
        return About(now.space, now.dimensions, count, {"alias": self._alias, "index": now.index})

    def upsert(self, items: Sequence[Item], space: str) -> None:
        if not items:
            return
        dimensions = len(items[0].vector)
        self._make_ready_for(space, dimensions)
        results = self._written(self._of(space), [{"_id": item.id, "_source": bodies.document(item)} for item in items])
        if any(result["status"] == NOT_FOUND for result in results):
            self._check(space, dimensions)
        _check_written(results)

    def delete(self, ids: Sequence[str]) -> int:
        if not ids or self._now() is None:
            return 0
        results = self._written(self._alias, [{"_op_type": "delete", "_id": each} for each in ids])
        _check_written(results)
        return sum(result.get("result") == "deleted" for result in results)

    def search(self, vector: Vectors, limit: int, where: Filter, space: str) -> list[Found]:
        try:
            with asking(NotFoundError, BadRequestError):
                answer = self._searching.search(index=self._of(space), **bodies.nearest(vector, limit, where))
        except NotFoundError:
            self._check(space, len(vector))
            return []
        except BadRequestError as error:
            self._check(space, len(vector))
            raise unavailable(error) from error
        return [bodies.found(hit) for hit in whole(answer)["hits"]["hits"]]

    def vectors(self, ids: Sequence[str], space: str) -> dict[str, Vectors]:
        try:
            hits = [*self._with_ids(self._of(space), ids, source=False, fields=[bodies.EMBEDDING])]
        except NotFoundError:
            self._check(space)
            return {}
        return {hit["_id"]: bodies.vector(hit) for hit in hits}

    def metadata_of(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        try:
            return {hit["_id"]: bodies.metadata(hit) for hit in self._with_ids(self._alias, ids, source=["metadata"])}
        except NotFoundError:
            return {}

    def has_field(self, name: str) -> bool:
        try:
            with asking(NotFoundError):
                answer = self._client.count(index=self._alias, query=bodies.has(name), terminate_after=1)
        except NotFoundError:
            return False
        return bool(whole(answer)["count"])

    def fields(self) -> dict[str, Field]:
        # Values could be counted by Elasticsearch, but it doesn't tell which names there are in a `flattened` field.
        return fields_of(bodies.metadata(hit) for hit in self._all(PAGE_ITEMS, source=["metadata"]))

    def digests(self) -> dict[str, str]:
        return {
            hit["_id"]: bodies.digest(hit) for hit in self._all(DEEPEST, source=False, docvalue_fields=[bodies.DIGEST])
        }

    def items(self) -> Iterator[Item]:
        for hit in self._all(
            PAGE_ITEMS, source=["metadata"], fields=[bodies.EMBEDDING], docvalue_fields=[bodies.DIGEST]
        ):
            yield Item(hit["_id"], bodies.vector(hit), bodies.metadata(hit), bodies.digest(hit))

    def settle(self) -> None:
        # Elasticsearch merges by itself. To force it is for indexes that aren't written to any more: what comes out
        # is too large to be merged again.
        self._refresh()

    @contextmanager
    def anew(self) -> Iterator[Store]:
        with turns.held(self._client, self._alias) as turn:
            if turn is not None:
                self._remove(*turns.leftovers(self._client, self._alias))
            filled = f"{self._alias}-filling-{secrets.token_hex(4)}"
            fresh = ElasticsearchStore(self._client, self._name, filled, turn.renew if turn else lambda: None)
            try:
                yield fresh
                new = fresh._fit_to_be_seen()
            except BaseException:
                with suppress(IndexUnavailable):  # the next one removes it
                    fresh._remove_itself()
                raise
            # Should this fail, what was filled stays for the next one to remove: it may come into place yet.
            if turn is not None:
                turn.renew()
            turns.put_in_place(self._client, self._alias, turn.held if turn else None, filled, new)
        if turn is not None:
            with suppress(IndexUnavailable):  # likewise
                self._remove(turn.held.index)

    def close(self) -> None:
        self._client.close()

    def _of(self, space: str) -> str:
        return f"{self._alias}-{space}"

    def _now(self) -> turns.State | None:
        return turns.state(self._client, self._alias)

    def _check(self, space: str, dimensions: int | None = None) -> bool:
        """Whether there is an index; if it is another than is asked for, that is a failure."""
        now = self._now()
        if now is None:
            return False
        check_space(About(now.space, now.dimensions, 0), space, now.dimensions if dimensions is None else dimensions)
        return True

    def _make_ready_for(self, space: str, dimensions: int) -> None:
        """See that there is an index of a space. Of several who make the first one at once one succeeds."""
        if self._check(space, dimensions):
            return
        try:
            with asking(ApiError):
                self._client.indices.create(
                    index=f"{self._name}-{space}-{secrets.token_hex(4)}",
                    settings=bodies.settings(
                        bodies.REFRESHED if self._alias == self._name else bodies.REFRESHED_WHEN_FILLED
                    ),
                    mappings=bodies.mappings(space, dimensions),
                    aliases=turns.aliases(self._alias, space),
                )
        except ApiError as error:
            if not self._check(space, dimensions):
                raise unavailable(error) from error

    def _written(self, alias: str, actions: list[Action]) -> list[Mapping[str, Any]]:
        """What became of each action. Those that a dead one's block keeps out are tried again without it."""
        results = self._sent(alias, actions)
        kept_out = [number for number, result in enumerate(results) if result["status"] == FORBIDDEN]
        if kept_out:
            turns.let_in(self._client, self._alias)
            for number, result in zip(kept_out, self._sent(alias, [actions[each] for each in kept_out]), strict=True):
                results[number] = result
        return results

    def _sent(self, alias: str, actions: Iterable[Action]) -> list[Mapping[str, Any]]:
        def in_time() -> Iterator[Action]:
            for action in actions:
                self._before_each()
                yield action

        with asking():
            outcomes = streaming_bulk(
                self._client,
                in_time(),
                chunk_size=CHUNK_ITEMS,
                max_chunk_bytes=CHUNK_BYTES,
                raise_on_error=False,
                index=alias,
                # Else a name that is gone would become an index of its own.
                require_alias=True,
            )
            return [next(iter(outcome.values())) for _, outcome in outcomes]

    def _with_ids(self, index: str, ids: Sequence[str], **wanted: Any) -> Iterator[Hit]:
        """The documents of those ids that are there.

        Raises:
            NotFoundError: there is no such index.
        """
        for start in range(0, len(ids), PAGE_ITEMS):
            some = [*ids[start : start + PAGE_ITEMS]]
            with asking(NotFoundError):
                answer = self._searching.search(index=index, query={"ids": {"values": some}}, size=len(some), **wanted)
            yield from whole(answer)["hits"]["hits"]

    def _all(self, size: int, **wanted: Any) -> Iterator[Hit]:
        """Every document, a page at a time, as they are when the first is asked for."""
        if not self._refresh():
            return
        with asking():
            pit = self._client.open_point_in_time(index=self._alias, keep_alive=KEPT)["id"]
        after = None
        try:
            while True:
                with asking():
                    answer = self._client.search(
                        pit={"id": pit, "keep_alive": KEPT},
                        sort=[{"_shard_doc": "asc"}],
                        search_after=after,
                        size=size,
                        track_total_hits=False,
                        **wanted,
                    )
                hits = whole(answer)["hits"]["hits"]
                pit = answer["pit_id"]
                yield from hits
                if len(hits) < size:
                    return
                after = hits[-1]["sort"]
        finally:
            with suppress(IndexUnavailable), asking():
                self._client.close_point_in_time(id=pit)

    def _refresh(self) -> bool:
        """Let everything that was put in be found. False if there is no index."""
        try:
            with asking(NotFoundError):
                self._client.indices.refresh(index=self._alias)
        except NotFoundError:
            return False
        return True

    def _fit_to_be_seen(self) -> turns.State | None:
        """What was filled, if anything was, as it should be for those who search it."""
        filled = self._now()
        if filled is not None:
            self._before_each()
            with asking():
                self._client.indices.put_settings(
                    index=filled.index, settings={"index.refresh_interval": bodies.REFRESHED}
                )
            self._refresh()
        return filled

    def _remove_itself(self) -> None:
        filled = self._now()
        if filled is not None:
            self._remove(filled.index)

    def _remove(self, *indexes: str) -> None:
        for index in indexes:
            with suppress(NotFoundError), asking(NotFoundError):
                self._client.indices.delete(index=index)


def _check_written(results: Sequence[Mapping[str, Any]]) -> None:
    failures = [result for result in results if "error" in result]
    if failures:
        kinds = sorted({f"{failure['status']} {failure['error']['type']}" for failure in failures})
        logger.warning("Elasticsearch refuses %d of %d items: %s", len(failures), len(results), ", ".join(kinds))
        raise IndexUnavailable(f"The index didn't take {len(failures)} of {len(results)} items; try again soon.")
