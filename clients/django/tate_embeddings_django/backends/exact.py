"""All vectors are compared, in this process: right for some ten thousand rows, and for any database.

They are read once and kept; what has changed since is asked of the database before each search.
"""

import heapq
import math
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from itertools import compress
from operator import itemgetter, mul
from threading import Lock
from typing import Any, TypeAlias

from django.db.models import Count, Max

from tate_embeddings_django.models import ImageVectorMixin
from tate_embeddings_django.search import Rows, Scored
from tate_embeddings_django.service import Sought

# A row is dated before it is saved, so one that is dated like the last that is known may not have been there yet.
OVERLAP = timedelta(seconds=5)
# A change that goes by unnoticed, such as one by a machine whose clock is behind, does so for no longer than this.
KEPT_S = 600

Vector: TypeAlias = "array[float]"
Compare = Callable[[Sequence[float]], Sequence[float]]


@dataclass(frozen=True)
class Kept:
    """The vectors of a model's rows that are of one space, as they were."""

    space: str
    count: int
    latest: datetime | None
    vectors: Mapping[Any, Vector]
    compare: Compare
    since: float


_kept: dict[type[ImageVectorMixin], Kept] = {}
_reading = Lock()


def nearest(model: type[ImageVectorMixin], rows: Rows | None, sought: Sought, k: int) -> list[Scored]:
    """As `search.Backend` has it."""
    with _reading:
        kept = _kept[model] = _up_to_date(model, sought.space, _kept.get(model))
    scores: Iterable[tuple[Any, float]] = zip(kept.vectors, kept.compare(sought.vector), strict=True)
    if rows is not None:
        among = set(rows.order_by().values_list("pk", flat=True))
        scores = compress(scores, (key in among for key in kept.vectors))
    best = heapq.nlargest(k, scores, key=itemgetter(1))
    found = model._default_manager.defer("image_vector").in_bulk([key for key, _ in best])
    return [Scored(found[key], score) for key, score in best if key in found]


def _up_to_date(model: type[ImageVectorMixin], space: str, kept: Kept | None) -> Kept:
    rows = model._default_manager.filter(image_vector_space=space)
    now = rows.aggregate(count=Count("pk"), latest=Max("image_vector_tried_at"))
    count, latest = now["count"], now["latest"]
    if kept is None or kept.space != space or kept.latest is None or time.monotonic() - kept.since > KEPT_S:
        return _made(space, count, latest, _read(rows), time.monotonic())
    if (kept.count, kept.latest) == (count, latest):
        return kept
    vectors = {**kept.vectors, **_read(rows.filter(image_vector_tried_at__gte=kept.latest - OVERLAP))}
    if len(vectors) != count:  # some are gone
        return _made(space, count, latest, _read(rows), time.monotonic())
    return _made(space, count, latest, vectors, kept.since)


def _read(rows: Rows) -> dict[Any, Vector]:
    return {key: array("f", vector) for key, vector in rows.order_by().values_list("pk", "image_vector") if vector}


def _made(space: str, count: int, latest: datetime | None, vectors: Mapping[Any, Vector], since: float) -> Kept:
    return Kept(space, count, latest, vectors, _comparison([*vectors.values()]), since)


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    if sys.version_info >= (3, 12):
        return float(math.sumprod(one, other))
    return float(sum(map(mul, one, other)))


def _comparison(vectors: Sequence[Vector]) -> Compare:
    """Multiplies a vector with all of these: by numpy where that is installed."""
    if not vectors or find_spec("numpy") is None:
        return lambda sought: [_product(vector, sought) for vector in vectors]
    import numpy as np

    # Not by `@`: its threads wait for one another on cores that are busy with requests.
    matrix = np.frombuffer(b"".join(vectors), np.float32).reshape(len(vectors), -1)

    def compare(sought: Sequence[float]) -> Sequence[float]:
        products: list[float] = np.einsum("ij,j->i", matrix, np.array(sought, np.float32)).tolist()
        return products

    return compare
