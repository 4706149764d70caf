"""Rows, some at a time: by primary key, so that none is passed over or seen twice while others come and go."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

ROWS = 500


def pages(rows: "QuerySet[Any]") -> Iterator[list[Any]]:
    """The rows of a query, in the order of their primary keys."""
    ordered = rows.order_by("pk")
    page = list(ordered[:ROWS])
    while page:
        yield page
        page = list(ordered.filter(pk__gt=page[-1].pk)[:ROWS]) if len(page) == ROWS else []
