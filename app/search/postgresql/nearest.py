"""The index over vectors, and searching with it or without.

pgvector's HNSW is a graph: quick to search, and close to exact. It takes several times as long to add vectors to it
one by one as to make it of all of them, so it is made when a large change has ended (`Store.settle`).
"""

from psycopg import errors, sql

from app.embeddings.engines import Vectors
from app.search.filters import Filter
from app.search.postgresql.conditions import in_sql
from app.search.postgresql.connections import Connection, Settings, apply
from app.search.postgresql.schema import State, nearest_of
from app.search.store import Found

# Up to so many vectors are all compared: 20 MB of them, which takes about as long as a request.
EXACT_UP_TO = 10_000
# pgvector indexes no longer ones; those are always all compared.
MOST_DIMENSIONS = 2000

# Neighbours of each vector in the graph, and how many candidates for that are looked at. pgvector's own numbers: with
# them 99.9 % of the 10 nearest of 100,000 clustered vectors are found, and larger ones take longer to make.
NEIGHBOURS = 16
CANDIDATES = 64
# How many candidates a search looks at: for the few that are usual more than pgvector's 40, with which 2 % are missed.
LEAST_LOOKED_AT, MOST_LOOKED_AT = 100, 1000

# It is made in memory: the vectors, and so much for the neighbours of each. If it doesn't fit, making it goes on at a
# fraction of the pace. Workers share that memory, and it is taken whether it is needed or not; so no more than that.
BYTES_PER_NUMBER, BYTES_PER_VECTOR = 4, 800
KIB = 1024
LEAST_MEMORY_KIB, MOST_MEMORY_KIB = 64 * KIB, 2 * KIB * KIB

SEARCH = """
    SELECT id, 1 - distance, metadata FROM (
        SELECT id, metadata, embedding <=> %s AS distance FROM {items} WHERE {where} ORDER BY distance LIMIT %s
    ) AS nearest
"""


def settings(limit: int) -> Settings:
    """What a search for so many is to be done with."""
    return {
        "hnsw.ef_search": min(MOST_LOOKED_AT, max(LEAST_LOOKED_AT, limit)),
        # Where a filter leaves too few of these, the next are looked at.
        "hnsw.iterative_scan": "strict_order",
    }


def search(connection: Connection, name: str, state: State, vector: Vectors, limit: int, where: Filter) -> list[Found]:
    """The items nearest to a vector, in a transaction that has the settings for it."""
    conditions, parameters = in_sql(where)
    query = sql.SQL(SEARCH).format(items=sql.Identifier(name), where=conditions)
    asked = [str(vector.tolist()), *parameters, limit]
    rows = connection.execute(query, asked).fetchall()
    if len(rows) < limit and state.indexed:
        # The graph was followed as far as pgvector does, and there may be more behind.
        apply(connection, {"enable_indexscan": "off"})
        rows = connection.execute(query, asked).fetchall()
    return [Found(*row) for row in rows]


def pays(connection: Connection, name: str, state: State) -> bool:
    """Whether it is time for an index that isn't there."""
    if state.indexed or state.dimensions > MOST_DIMENSIONS:
        return False
    query = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT %s) AS first_ones").format(sql.Identifier(name))
    return connection.execute(query, (EXACT_UP_TO + 1,)).fetchone() == (EXACT_UP_TO + 1,)


def make(connection: Connection, name: str, state: State) -> None:
    """Make the index of all that is there. Who searches doesn't notice, who changes something waits."""
    items = sql.Identifier(name)
    # How many there are, so that as much memory is taken; from here on nothing is put in.
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(items))
    ((count,),) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(items)).fetchall()
    needed_kib = count * (state.dimensions * BYTES_PER_NUMBER + BYTES_PER_VECTOR) // KIB
    apply(connection, {"maintenance_work_mem": min(MOST_MEMORY_KIB, max(LEAST_MEMORY_KIB, needed_kib))})
    query = sql.SQL(
        "CREATE INDEX {index} ON {items} USING hnsw (embedding vector_cosine_ops) "
        "WITH (m = {neighbours}, ef_construction = {candidates})"
    ).format(
        index=sql.Identifier(nearest_of(name)),
        items=items,
        neighbours=sql.Literal(NEIGHBOURS),
        candidates=sql.Literal(CANDIDATES),
    )
    try:
        with connection.transaction():
            connection.execute(query)
    except (errors.OutOfMemory, errors.DiskFull):
        # Containers have 64 MB of memory that processes can share, unless told otherwise: one has to do without.
        apply(connection, {"max_parallel_maintenance_workers": 0})
        connection.execute(query)
    # How common values are decides between this index and the one over fields, and nobody has counted yet.
    connection.execute(sql.SQL("ANALYZE {} (id, fields)").format(items))
