"""PostgreSQL with pgvector compares, or follows an index over `image_vector` where there is one."""

from typing import Any

from django.db import connections, models, transaction
from pgvector.django import CosineDistance

from tate_embeddings_django.models import ImageVectorMixin
from tate_embeddings_django.search import Rows, Scored
from tate_embeddings_django.service import Sought

# How many candidates a search looks at in an HNSW index; pgvector's own 40 would give no more than 40 results.
LEAST_CANDIDATES, MOST_CANDIDATES = 100, 1000


def nearest(model: type[ImageVectorMixin], rows: Rows | None, sought: Sought, k: int) -> list[Scored]:
    """As `search.Backend` has it."""
    if _dimensions(model) not in (None, len(sought.vector)):
        return []  # the column can't have vectors of that space
    everything = model._default_manager.all()
    rows = everything if rows is None else everything.filter(pk__in=rows.order_by().values("pk"))
    distance: Any = CosineDistance("image_vector", list(sought.vector))
    found: Rows = (
        rows.filter(image_vector_space=sought.space)
        .defer("image_vector")
        .annotate(image_vector_distance=distance)
        .order_by("image_vector_distance")[:k]
    )
    with transaction.atomic(using=rows.db), connections[rows.db].cursor() as cursor:
        candidates = min(MOST_CANDIDATES, max(LEAST_CANDIDATES, k))
        # For this transaction. An index that finds too few that are of the space looks further.
        cursor.execute(
            "SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'strict_order', true)",
            [str(candidates)],
        )
        return [Scored(row, 1 - row.image_vector_distance) for row in found]


def _dimensions(model: type[models.Model]) -> int | None:
    dimensions: int | None = getattr(model._meta.get_field("image_vector"), "dimensions", None)
    return dimensions
