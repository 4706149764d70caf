"""Searches of the stand-in for Elasticsearch: what is looked for, and what of it is given back."""

from types import UnionType
from typing import Any

import numpy as np

from tests.search.elasticsearch.fields import Body, Fields, Indexed, Refused, checked

WINDOW = 10_000
MOST_CANDIDATES = 10_000
KNOWN: dict[str, type | UnionType] = {
    "knn": dict, "query": dict, "size": int, "_source": bool | list, "fields": list, "docvalue_fields": list,
    "pit": dict, "sort": list, "search_after": list, "track_total_hits": bool,
}  # fmt: skip
# The one order in which a point in time is gone through here, and nothing else is ordered.
IN_ORDER = [{"_shard_doc": "asc"}]


def everything(_: Indexed) -> bool:
    return True


def searched(name: str, fields: Fields, documents: list[Indexed], body: Body) -> Body:
    """What a search of an index finds, by its body."""
    checked(body, KNOWN, "search", ("size",))
    if not 0 <= body["size"] <= WINDOW:
        raise Refused(400, "search_phase_execution_exception", "Result window is too large")
    if body.get("sort") != (IN_ORDER if "pit" in body else None) or ("search_after" in body and "sort" not in body):
        raise Refused(400, "stand_in", "a point in time is gone through by [_shard_doc], and nothing else is")
    _check_wanted(fields, body)
    if "knn" in body:
        hits = [_hit(name, fields, body, each, score) for score, each in _nearest(body["knn"], fields, documents)]
    else:
        matches = fields.query(body["query"]) if "query" in body else everything
        (after,) = body.get("search_after", [-1])
        rows = [(row, each) for row, each in enumerate(documents) if row > after and matches(each)]
        hits = [
            _hit(name, fields, body, each, None) | {"sort": [row]}
            if "sort" in body
            else _hit(name, fields, body, each, 1)
            for row, each in rows
        ]
    answer: Body = {"hits": {"hits": hits[: body["size"]]}}
    if body.get("track_total_hits", True):
        answer["hits"]["total"] = {"value": len(hits), "relation": "eq"}
    return answer | ({"pit_id": body["pit"]["id"]} if "pit" in body else {})


def _nearest(body: Any, fields: Fields, documents: list[Indexed]) -> list[tuple[float, Indexed]]:
    """The documents nearest to a vector with their scores, found by comparing all of them."""
    known = {"field": str, "query_vector": list, "k": int, "num_candidates": int, "filter": list}
    knn = checked(body, known, "knn", ("field", "query_vector", "k", "num_candidates"))
    field = fields.mappings["properties"].get(knn["field"], {})
    if field.get("type") != "dense_vector" or not field["index"]:
        raise Refused(400, "query_shard_exception", "[knn] is of a field that isn't an indexed vector")
    if not 1 <= knn["k"] <= knn["num_candidates"] <= MOST_CANDIDATES:
        raise Refused(400, "illegal_argument_exception", "[k] or [num_candidates] is too small or too large")
    if len(knn["query_vector"]) != field["dims"]:
        reason = f"the query vector has a different dimension than the index vectors [{field['dims']}]"
        raise Refused(400, "search_phase_execution_exception", reason)
    wanted = np.array(knn["query_vector"], np.float32)
    filters = [fields.query(each) for each in knn.get("filter", ())]
    seen = [document for document in documents if all(matches(document) for matches in filters)]
    if not seen:
        return []
    vectors = np.array([document.vector for document in seen])
    cosines = vectors @ wanted / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(wanted))
    best = np.argsort(-cosines, kind="stable")[: knn["k"]]
    return [(float(np.float32((1 + cosines[row]) / 2)), seen[row]) for row in best]


def _hit(name: str, fields: Fields, body: Body, document: Indexed, score: float | None) -> Body:
    hit: Body = {"_index": name, "_id": document.id, "_score": score}
    if body.get("_source", True) is not False:
        # Since 9.2 vectors aren't part of it, unless they are asked for in a way that isn't known here.
        names = document.source.keys() if body.get("_source", True) is True else body["_source"]
        hit["_source"] = {each: document.source[each] for each in names if _kind(fields, each) != "dense_vector"}
    values = {each["field"]: document.vector.tolist() for each in body.get("fields", ())}
    values |= {each["field"]: [document.source[each["field"]]] for each in body.get("docvalue_fields", ())}
    return hit | ({"fields": values} if values else {})


def _check_wanted(fields: Fields, body: Body) -> None:
    for each in (*body.get("fields", ()), *body.get("docvalue_fields", ())):
        checked(each, {"field": str}, "field", ("field",))
    if any(_kind(fields, each["field"]) != "dense_vector" for each in body.get("fields", ())):
        raise Refused(400, "stand_in", "only vectors are known to be asked for among the fields")
    if not all(_has_values(fields, each["field"]) for each in body.get("docvalue_fields", ())):
        raise Refused(400, "search_phase_execution_exception", "a field has no doc values")


def _kind(fields: Fields, name: str) -> Any:
    return fields.mappings["properties"].get(name, {}).get("type")


def _has_values(fields: Fields, name: str) -> bool:
    return bool(fields.mappings["properties"].get(name, {}).get("doc_values"))
