"""What filters can be made of, counted where it lies: in the column `fields`, which has every field as a list."""

from psycopg import sql

from app.search.fields import MOST_DISTINCT, MOST_FIELDS, Field, field_of
from app.search.filters import Scalar
from app.search.postgresql.connections import Connection

# A value that one item has twice counts once. Of a field with too many values none come.
COUNT = """
    WITH counted AS MATERIALIZED (
        SELECT field, value, count(*) AS items
        FROM {items}, jsonb_each(fields) AS of_item (field, list), jsonb_array_elements(
            CASE jsonb_array_length(list) WHEN 1 THEN list
            ELSE (SELECT jsonb_agg(DISTINCT value) FROM jsonb_array_elements(list) AS all_values (value)) END
        ) AS different (value)
        GROUP BY field, value
    ), of_fields AS (
        SELECT field, count(*) AS different,
            min(CASE jsonb_typeof(value) WHEN 'number' THEN value::float8 END) AS lowest,
            max(CASE jsonb_typeof(value) WHEN 'number' THEN value::float8 END) AS highest
        FROM counted GROUP BY field ORDER BY field COLLATE "C" LIMIT %(fields)s
    )
    SELECT field, lowest, highest, value, items
    FROM of_fields LEFT JOIN counted USING (field) WHERE different <= %(values)s
    UNION ALL SELECT field, lowest, highest, NULL, NULL FROM of_fields WHERE different > %(values)s
"""


def read(connection: Connection, name: str) -> dict[str, Field]:
    """The fields of an index."""
    query = sql.SQL(COUNT).format(items=sql.Identifier(name))
    rows = connection.execute(query, {"fields": MOST_FIELDS, "values": MOST_DISTINCT})
    counts: dict[tuple[str, float | None, float | None], list[tuple[Scalar, int]] | None] = {}
    for field, lowest, highest, value, items in rows:
        of_field = counts.setdefault((field, lowest, highest), None if items is None else [])
        if of_field is not None:
            of_field.append((value, items))
    return {field: field_of(counted, *bounds) for (field, *bounds), counted in sorted(counts.items(), key=_name)}


def _name(counted: tuple[tuple[str, float | None, float | None], object]) -> str:
    return counted[0][0]
