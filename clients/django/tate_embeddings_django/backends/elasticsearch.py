"""An index of its own in Elasticsearch, which `manage.py rebuild_vector_index` makes (`vector_index.py`).

The index knows vectors and primary keys. What filters say is asked of the database.
"""

import logging
from collections.abc import Sequence
from typing import Any

from elasticsearch import ApiError, NotFoundError, TransportError

from tate_embeddings_django import vector_index
from tate_embeddings_django.models import ImageVectorMixin
from tate_embeddings_django.search import Rows, Scored
from tate_embeddings_django.service import Sought

logger = logging.getLogger("tate_embeddings_django")

# Elasticsearch finds no more, and no more keys go along with a search.
MOST = 10_000
# How far the graph is searched: at least so far, and so many times as far as there are rows to be found.
LEAST_CANDIDATES, CANDIDATES_PER_ROW = 200, 2
# What is found and filters don't let through, or is gone, is made up for by asking for so many times as much.
FURTHER = 4


def nearest(model: type[ImageVectorMixin], rows: Rows | None, sought: Sought, k: int) -> list[Scored]:
    """As `search.Backend` has it; nothing, and a line in the log, if Elasticsearch doesn't do it."""
    among = None if rows is None else _keys(rows)
    if among is not None and len(among) > MOST:
        among = None  # nearly everything: what is found is filtered
    there = (model._default_manager.all() if rows is None else rows).defer("image_vector")
    limit = min(k, MOST)
    try:
        while True:
            hits = _hits(vector_index.alias(model, sought.space), sought.vector, limit, among)
            found = there.in_bulk([key for key, _ in _keyed(model, hits)])
            scored = [Scored(found[key], score) for key, score in _keyed(model, hits) if key in found]
            if len(scored) >= k or len(hits) < limit or limit == MOST:
                return scored[:k]
            limit = min(MOST, limit * FURTHER)
    except NotFoundError:
        logger.warning(
            "Elasticsearch has no vectors of %s of space %s; `manage.py rebuild_vector_index` makes the index.",
            model._meta.label,
            sought.space,
        )
    except (ApiError, TransportError) as error:
        logger.warning("Elasticsearch finds nothing: %s", vector_index.said(error))
    return []


def _keys(rows: Rows) -> list[str]:
    return [str(key) for key in rows.order_by().values_list("pk", flat=True).distinct()[: MOST + 1]]


def _hits(alias: str, vector: Sequence[float], limit: int, among: list[str] | None) -> list[tuple[str, float]]:
    knn: dict[str, Any] = {
        "field": "embedding",
        "query_vector": list(vector),
        "k": limit,
        "num_candidates": min(MOST, max(LEAST_CANDIDATES, CANDIDATES_PER_ROW * limit)),
    }
    if among is not None:
        knn["filter"] = [{"ids": {"values": among}}]
    answer = vector_index.searching().search(index=alias, knn=knn, size=limit, source=False)
    # Its score is (1 + cosine) / 2.
    return [(hit["_id"], 2 * hit["_score"] - 1) for hit in answer["hits"]["hits"]]


def _keyed(model: type[ImageVectorMixin], hits: list[tuple[str, float]]) -> list[tuple[Any, float]]:
    return [(model._meta.pk.to_python(identity), score) for identity, score in hits]
