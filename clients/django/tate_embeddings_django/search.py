"""What of the site's own rows is nearest to a text."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from django.db import models

from tate_embeddings_django import conf, service
from tate_embeddings_django.models import ImageVectorMixin, searchable
from tate_embeddings_django.service import Sought

logger = logging.getLogger("tate_embeddings_django")

Rows = models.QuerySet[Any]


@dataclass(frozen=True, slots=True)
class Scored:
    """A row that was found; `score` is the cosine between its picture's vector and the query's."""

    object: Any
    score: float


class Backend(Protocol):
    """How neighbours are found: a module of `backends/` for each."""

    def nearest(self, model: type[ImageVectorMixin], rows: Rows | None, sought: Sought, k: int) -> list[Scored]:
        """The rows nearest to a vector, the nearest first.

        Args:
            model: what is searched in.
            rows: if given, the only rows that count; one may be there several times, as joins have it.
            sought: the vector, and the space that a row's must be of.
            k: how many.
        """


def search_embeddings(
    query: str,
    k: int = 24,
    filters: Mapping[str, Any] | None = None,
    *,
    model: type[ImageVectorMixin] | None = None,
) -> list[Scored]:
    """The rows whose pictures are nearest to a text, the nearest first.

    It's empty where the service is switched off or doesn't answer in time: a page shows that it found nothing.

    Args:
        query: what to look for; nothing is found for a blank one.
        k: how many, at most.
        filters: what must be so of the rows, as `QuerySet.filter` takes it.
        model: where to look; without it, in all models that have vectors.
    """
    now = conf.current()
    if not now.service_url:
        logger.debug("Embeddings are switched off: SERVICE_URL isn't set.")
        return []
    sought = service.query_vector(query.strip()) if query.strip() and k > 0 else None
    if sought is None:
        return []
    backend = cast(Backend, import_module(f"tate_embeddings_django.backends.{now.backend}"))
    found = [
        scored
        for each in ([model] if model else searchable())
        for scored in backend.nearest(each, _rows(each, filters), sought, k)
    ]
    return sorted(found, key=lambda scored: -scored.score)[:k]


def _rows(model: type[ImageVectorMixin], filters: Mapping[str, Any] | None) -> Rows | None:
    return model._default_manager.filter(**filters) if filters else None
