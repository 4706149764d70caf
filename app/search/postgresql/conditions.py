"""Filters as SQL, where every name and value is a parameter.

They look at a column `fields`, in which a row has what `filters.scalars` sees of its metadata: every field as a list.
jsonb keeps numbers, strings and booleans apart, and compares strings in paths by their code points.
"""

from psycopg import sql
from psycopg.types.json import Jsonb

from app.search.filters import AnyOf, Between, Condition, Filter

Parameters = list[Jsonb | str]

# For an index over `fields`, each value is a condition of its own: it can find what contains one, but not any of many.
HAS_VALUE = sql.SQL("fields @> %s")
# That the field is there follows from the rest, but an index can find only this.
IN_BOUNDS = "fields ? %s AND jsonb_path_exists(fields -> %s, '$[*] ? ({})', %s)"
AT_LEAST, AT_MOST = "@ >= $least", "@ <= $most"


def in_sql(where: Filter) -> tuple[sql.Composable, Parameters]:
    """What a filter is in SQL, to stand behind WHERE, and the parameters of that."""
    conditions: list[sql.Composable] = [sql.SQL("true")]
    parameters: Parameters = []
    for condition in where:
        text, its_own = _condition(condition)
        conditions.append(text)
        parameters += its_own
    return sql.SQL(" AND ").join(conditions), parameters


def _condition(condition: Condition) -> tuple[sql.Composable, Parameters]:
    if isinstance(condition, AnyOf):
        any_of = sql.SQL("({})").format(sql.SQL(" OR ").join([HAS_VALUE] * len(condition.values)))
        return any_of, [Jsonb({condition.field: [value]}) for value in condition.values]
    return _between(condition)


def _between(condition: Between) -> tuple[sql.Composable, Parameters]:
    bounds = {AT_LEAST: ("least", condition.at_least), AT_MOST: ("most", condition.at_most)}
    given = {text: bound for text, bound in bounds.items() if bound[1] is not None}
    text = sql.SQL(IN_BOUNDS).format(sql.SQL(" && ").join(map(sql.SQL, given)))
    return text, [condition.field, condition.field, Jsonb(dict(given.values()))]
