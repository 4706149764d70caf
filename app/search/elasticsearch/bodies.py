"""What Elasticsearch is sent: an index, an item of ours as a document, a filter and a search as queries.

Beside its vector a document has the item's metadata as JSON text, which comes back as it was whatever is in it, and
for filters the values of it that they can see, by type, so that `1`, `"1"` and `true` stay three things:

    words.<field>     strings, as `flattened`: terms of whatever field, compared by their code points
    flags.<field>     true and false, likewise
    numbers.<field>   doubles, each field of its own, so that a range of them is looked up and not gone through
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from app.embeddings.engines import Vectors
from app.search.filters import AnyOf, Between, Condition, Filter, Scalar, scalars
from app.search.store import Found, Item

Body = dict[str, Any]

MADE_BY = "tate-embeddings"
# How these two are asked for: since 9.2 a vector isn't in a document's source, and a digest is cheaper to get so.
EMBEDDING = {"field": "embedding"}
DIGEST = {"field": "digest"}
# Stated, because an index whose interval is left to the default isn't refreshed once nobody has searched it for 30 s.
REFRESHED = "1s"
# Of one that is being filled: nobody waits for it, and each refresh makes a graph that is merged with others later.
REFRESHED_WHEN_FILLED = "30s"
# How far the graph is searched: at least so far, and so many times as far as there are items to be found. Too short a
# way misses some of them.
LEAST_CANDIDATES = 200
CANDIDATES_PER_ITEM = 2
# Elasticsearch takes no more, which therefore bounds `DEEPEST` too, as does its window of results.
MOST_CANDIDATES = 10_000
# A term has at most 32,766 bytes, and the field's name is part of it: up to 256 characters, of 12 bytes when quoted.
LONGEST_TERM = 29_000
# Above every string: a range on `flattened` has both its bounds.
HIGHEST = "\U0010ffff" * 8


def settings(refresh_interval: str) -> Body:
    """An index's settings; shards and replicas are the cluster's business."""
    return {
        "index.refresh_interval": refresh_interval,
        # A thousandth field of numbers can't be filtered by; it is no reason to refuse the item.
        "index.mapping.total_fields.ignore_dynamic_beyond_limit": True,
    }


def mappings(space: str, dimensions: int) -> Body:
    """An index's fields. Of what isn't named here nothing is indexed.

    `hnsw` searches the vectors themselves: 4 bytes for each number, 2 GB for a million of 512, which should fit the
    memory that the nodes have beside their heap. `int8_hnsw` would do with a quarter of it and `bbq_hnsw` with a
    thirtieth, for some of the recall; one of them is what Elasticsearch takes if nothing is stated. `m` and
    `ef_construction` are its defaults.
    """
    return {
        "_meta": {"made_by": MADE_BY, "space": space, "dimensions": dimensions},
        "dynamic": False,
        # Without a type it would match lists too, as objects.
        "dynamic_templates": [
            {"numbers": {"path_match": "numbers.*", "match_mapping_type": "double", "mapping": {"type": "double"}}}
        ],
        "properties": {
            "embedding": {
                "type": "dense_vector",
                "dims": dimensions,
                "index": True,
                "similarity": "cosine",
                "index_options": {"type": "hnsw", "m": 16, "ef_construction": 100},
            },
            "metadata": {"type": "object", "enabled": False},
            "digest": {"type": "keyword", "index": False, "doc_values": True},
            "words": {"type": "flattened"},
            "flags": {"type": "flattened"},
            "numbers": {"type": "object", "dynamic": True},
        },
    }


def document(item: Item) -> Body:
    """An item as it is kept; its id is the document's."""
    seen: dict[str, dict[str, list[Any]]] = {"words": {}, "flags": {}, "numbers": {}}
    for field, values in scalars(item.metadata).items():
        for kind, of_kind in _by_kind(values).items():
            seen[kind][_quoted(field)] = of_kind
    return {
        "embedding": np.ascontiguousarray(item.vector, np.float32),
        "metadata": json.dumps(dict(item.metadata), ensure_ascii=False),
        "digest": item.digest,
        **seen,
    }


def nearest(vector: Vectors, limit: int, where: Filter) -> Body:
    """A search for the items nearest to a vector, of which no more than the metadata is wanted."""
    candidates = max(LEAST_CANDIDATES, CANDIDATES_PER_ITEM * limit)
    knn = {
        "field": "embedding",
        "query_vector": np.ascontiguousarray(vector, np.float32),
        "k": limit,
        "num_candidates": min(candidates, MOST_CANDIDATES),
    }
    if where:
        knn["filter"] = [_query(condition) for condition in where]
    return {"knn": knn, "size": limit, "source": ["metadata"]}


def found(hit: Mapping[str, Any]) -> Found:
    """What was found; Elasticsearch's score is (1 + cosine) / 2."""
    return Found(hit["_id"], 2 * hit["_score"] - 1, metadata(hit))


def metadata(hit: Mapping[str, Any]) -> Mapping[str, Any]:
    """An item's metadata, as it was put in."""
    kept: Mapping[str, Any] = json.loads(hit["_source"]["metadata"])
    return kept


def vector(hit: Mapping[str, Any]) -> Vectors:
    """An item's vector, which isn't part of a document's source but one of its fields."""
    return np.array(hit["fields"]["embedding"], np.float32)


def digest(hit: Mapping[str, Any]) -> str:
    """An item's digest."""
    return str(hit["fields"]["digest"][0])


def has(field: str) -> Body:
    """A query for the items whose metadata has a field that filters can see."""
    return _any([{"exists": {"field": f"{kind}.{_quoted(field)}"}} for kind in ("words", "flags", "numbers")])


def _query(condition: Condition) -> Body:
    return _one_of(condition) if isinstance(condition, AnyOf) else _within(condition)


def _one_of(condition: AnyOf) -> Body:
    name = _quoted(condition.field)
    return _any([{"terms": {f"{kind}.{name}": values}} for kind, values in _by_kind(condition.values).items()])


def _within(condition: Between) -> Body:
    name = _quoted(condition.field)
    bounds = {by: at for by, at in (("gte", condition.at_least), ("lte", condition.at_most)) if at is not None}
    if any(isinstance(bound, str) for bound in bounds.values()):
        words = {"gte": "", "lte": HIGHEST} | {by: _term(str(at)) for by, at in bounds.items()}
        return {"range": {f"words.{name}": words}}
    return {"range": {f"numbers.{name}": {by: _number(at) for by, at in bounds.items()}}}


def _any(queries: list[Body]) -> Body:
    return queries[0] if len(queries) == 1 else {"bool": {"should": queries, "minimum_should_match": 1}}


def _by_kind(values: Sequence[Scalar]) -> dict[str, list[Any]]:
    kinds: dict[str, list[Any]] = {}
    for value in values:
        if isinstance(value, bool):
            kinds.setdefault("flags", []).append(value)
        elif isinstance(value, str):
            kinds.setdefault("words", []).append(_term(value))
        else:
            kinds.setdefault("numbers", []).append(_number(value))
    return kinds


def _number(value: Any) -> float:
    """A number as doubles are compared: for them -0 isn't 0."""
    return float(value) + 0.0


def _term(text: str) -> str:
    """A string as a term: the little that is too long for one is told apart by a digest of the whole."""
    data = text.encode()
    if len(data) <= LONGEST_TERM:
        return text
    return data[:LONGEST_TERM].decode(errors="ignore") + hashlib.sha256(data).hexdigest()


def _quoted(field: str) -> str:
    """A field's name as part of a path, where dots and asterisks mean something."""
    return quote(field, safe="").replace(".", "%2E")
