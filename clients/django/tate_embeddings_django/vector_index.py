"""Elasticsearch's index of vectors: one for each model and space, behind an alias, that nobody else knows of.

    artworks-vectors-gallery-artwork-5f0c1b2a9d3e4f67        the alias, which searches ask
    artworks-vectors-gallery-artwork-5f0c1b2a9d3e4f67-1b9c…  the index behind it, or one that is being filled

Wagtail's indexes have other names, so neither rebuild touches what the other made. A service of another model finds an
alias of its own: both can be searched until the site has changed over.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from tate_embeddings_django import conf
from tate_embeddings_django.models import ImageVectorMixin
from tate_embeddings_django.paging import pages

MADE_BY = "django-tate-embeddings"
# A bulk of vectors is indexed before it is answered.
FILLING_TIMEOUT_S = 60.0
# An index that somebody has been filling for longer is one that was left lying.
LEFT_S = 24 * 3600

Body = dict[str, Any]

_clients: dict[tuple[int, str, str], Elasticsearch] = {}


@dataclass(frozen=True)
class Rebuilt:
    """What became of it: the index that is searched now, and the aliases of the model's other spaces."""

    index: str
    count: int
    others: list[str]


class NotRebuilt(Exception):
    """There was nothing to make an index of, or a row could not be put into it."""


def alias(model: type[ImageVectorMixin], space: str) -> str:
    """The name by which a model's vectors of a space are searched."""
    return f"{_family(model)}-{space.lower()}"


def searching() -> Elasticsearch:
    """The client that searches: kept, and out of patience as early as the service's."""
    now = conf.current()
    key = (os.getpid(), now.elasticsearch_url, repr((now.elasticsearch_options, now.search_timeout_s)))
    if key not in _clients:
        _clients.setdefault(key, _connected(now.search_timeout_s, retries=0))
    return _clients[key]


def forget() -> None:
    """Close the connections; the next search makes new ones."""
    while _clients:
        _clients.popitem()[1].close()


def said(error: ApiError | TransportError) -> str:
    """What went wrong, without addresses and without what was sent."""
    if isinstance(error, TransportError):
        return f"it can't be reached ({type(error).__name__})"
    described = error.body.get("error") if isinstance(error.body, dict) else None
    kind = described.get("type") if isinstance(described, dict) else None
    return f"it answers {error.status_code} {kind or type(error).__name__}"


def rebuild(model: type[ImageVectorMixin], space: str) -> Rebuilt:
    """Make a model's index of a space anew and put it in the place of the one before, which is searched until then.

    Raises:
        NotRebuilt, ApiError, TransportError: it could not be done; what was searched before still is.
    """
    rows = model._default_manager.filter(image_vector_space=space, image_vector__isnull=False).only("image_vector")
    name = alias(model, space)
    client = _connected(FILLING_TIMEOUT_S, retries=3)
    try:
        batches = pages(rows)
        first = next(batches, None)
        if first is None:
            raise NotRebuilt(f"No row of {model._meta.label} has a vector of the service's model yet.")
        with _created(client, name, len(first[0].image_vector)) as index:
            count = _fill(client, index, first)
            count += sum(_fill(client, index, batch) for batch in batches)
            client.indices.refresh(index=index)
            before = _swap(client, name, index)
        for old in before + _left_lying(client, name):
            client.options(ignore_status=404).indices.delete(index=old)
        return Rebuilt(index, count, _others(client, model, name))
    finally:
        client.close()


def _connected(timeout_s: float, retries: int) -> Elasticsearch:
    now = conf.current()
    usual = {"request_timeout": timeout_s, "max_retries": retries, "retry_on_timeout": retries > 0}
    return Elasticsearch(now.elasticsearch_url, **{**usual, **now.elasticsearch_options})


@contextmanager
def _created(client: Elasticsearch, name: str, dimensions: int) -> Iterator[str]:
    """A new index, which is gone again if anything goes wrong with it."""
    index = f"{name}-{secrets.token_hex(4)}"
    embedding = {
        "type": "dense_vector",
        "dims": dimensions,
        "index": True,
        "similarity": "cosine",
        # The vectors themselves, 4 bytes a number, and Elasticsearch's usual numbers for the graph.
        "index_options": {"type": "hnsw", "m": 16, "ef_construction": 100},
    }
    client.indices.create(
        index=index,
        settings={"index.refresh_interval": "-1"},  # it is, once it is full
        mappings={
            "_meta": {"made_by": MADE_BY, "made_at": int(time.time())},
            "dynamic": False,
            "properties": {"embedding": embedding},
        },
    )
    try:
        yield index
    except BaseException:
        with suppress(ApiError, TransportError):  # what went wrong first says more
            client.options(ignore_status=404).indices.delete(index=index)
        raise


def _fill(client: Elasticsearch, index: str, rows: list[Any]) -> int:
    operations: list[Body] = []
    for row in rows:
        operations += [{"index": {"_id": str(row.pk)}}, {"embedding": [*map(float, row.image_vector)]}]
    answer = client.bulk(index=index, operations=operations)
    for item in answer["items"] if answer["errors"] else ():
        refused = item["index"].get("error")
        if refused:
            raise NotRebuilt(f"Elasticsearch refuses row {item['index']['_id']}: {refused['type']}")
    return len(rows)


def _swap(client: Elasticsearch, name: str, index: str) -> list[str]:
    """Put an index behind an alias, instead of those that it gives back."""
    before = [other for other, about in _indexes(client, name).items() if name in about.get("aliases", {})]
    client.indices.update_aliases(
        actions=[
            *({"remove": {"index": other, "alias": name}} for other in before),
            {"add": {"index": index, "alias": name}},
        ]
    )
    return before


def _left_lying(client: Elasticsearch, name: str) -> list[str]:
    latest = time.time() - LEFT_S
    return [
        index
        for index, about in _indexes(client, name).items()
        if not about.get("aliases") and about.get("mappings", {}).get("_meta", {}).get("made_at", latest) < latest
    ]


def _others(client: Elasticsearch, model: type[ImageVectorMixin], name: str) -> list[str]:
    aliases = {each for about in _indexes(client, _family(model)).values() for each in about.get("aliases", {})}
    return sorted(aliases - {name})


def _indexes(client: Elasticsearch, name: str) -> dict[str, Any]:
    """The indexes of ours whose names begin so, with their aliases."""
    wanted = ["*.aliases", "*.mappings._meta"]
    found = client.indices.get(index=f"{name}-*", filter_path=wanted)
    return {
        index: about
        for index, about in found.items()
        if about.get("mappings", {}).get("_meta", {}).get("made_by") == MADE_BY
    }


def _family(model: type[ImageVectorMixin]) -> str:
    label = model._meta.label_lower.replace(".", "-")
    return f"{conf.current().elasticsearch_index}-vectors-{label}"
