"""The stand-in refuses what isn't in Elasticsearch's interface: else tests against it would say little."""

from collections.abc import Iterator
from typing import Any

import pytest
from app.search.elasticsearch.asking import connected
from app.search.filters import parsed
from app.search.store import Store
from elasticsearch import ApiError, Elasticsearch

from tests.search.conftest import DIMENSIONS, SPACE, unit
from tests.search.elasticsearch.conftest import ITEM, another, put_in
from tests.search.elasticsearch.stand_in import StandIn, standing_in

NAME = "tate_embeddings"
VECTOR = [1.0] * DIMENSIONS
KNN = {"field": "embedding", "query_vector": VECTOR, "k": 1, "num_candidates": 1}


@pytest.fixture
def client(stand_in: StandIn, filled: Store) -> Iterator[Elasticsearch]:
    client, _ = connected(stand_in.url)
    yield client
    client.close()


def refused(client: Elasticsearch, method: str, path: str, body: Any = None, **headers: str) -> str:
    """The type of error by which a request is refused."""
    sent = {"Accept": "application/json"} | ({} if body is None else {"Content-Type": "application/json"}) | headers
    with pytest.raises(ApiError) as failure:
        client.perform_request(method, path, headers=sent, body=body)
    assert failure.value.status_code in (400, 404)
    return str(failure.value.message)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/_no_such_thing", None),
        ("POST", f"/{NAME}/_serch", {"size": 1}),
        ("POST", f"/{NAME}/_refresh?wait=true", None),
        ("POST", f"/{NAME}/_search?timeot=1s", {"size": 1}),
        ("PUT", f"/{NAME}/_settings", {"index.refresh_intervall": "1s"}),
        ("PUT", f"/{NAME}/_settings", {"index.refresh_interval": 1}),
        ("PUT", f"/{NAME}/_settings", {"index.number_of_shards": 2}),
        ("POST", "/_aliases", {"actions": [{"add": {"index": "none", "alias": "a"}}]}),
        ("POST", "/_aliases", {"actions": [{"add": {"index": NAME, "alias": "a", "must_exist": True}}]}),
        ("PUT", "/Upper", {"settings": {}, "mappings": {}}),
        ("PUT", f"/{NAME}", {"settings": {}, "mappings": {}}),
        ("DELETE", f"/{NAME}", None),
    ],
)
def test_a_request_of_another_form_is_refused(client: Elasticsearch, method: str, path: str, body: Any) -> None:
    assert refused(client, method, path, body)


@pytest.mark.parametrize(
    "search",
    [
        {"size": 10_001},
        {"size": True},
        {"size": 1, "querry": {}},
        {"size": 1, "query": {"matches": {"words.title": "x"}}},
        {"size": 1, "query": {"terms": {"words.title": "x"}}},
        {"size": 1, "query": {"terms": {"title": ["x"]}}},
        {"size": 1, "query": {"terms": {"numbers.year": ["x"]}}},
        {"size": 1, "query": {"range": {"words.title": {"gte": "x"}}}},
        {"size": 1, "query": {"range": {"numbers.year": {"from": 1}}}},
        {"size": 1, "query": {"exists": {"field": "words.*"}}},
        {"size": 1, "query": {"bool": {"should": [], "minimum": 1}}},
        {"size": 1, "fields": [{"field": "digest"}]},
        {"size": 1, "docvalue_fields": [{"field": "metadata"}]},
        {"size": 1, "knn": KNN | {"k": 2}},
        {"size": 1, "knn": KNN | {"num_candidates": 10_001}},
        {"size": 1, "knn": KNN | {"query_vector": [1.0]}},
        {"size": 1, "knn": KNN | {"field": "metadata"}},
        {"size": 1, "knn": KNN | {"filters": []}},
        {"size": 1, "sort": [{"_shard_doc": "asc"}]},
        {"size": 1, "pit": {"id": "none", "keep_alive": "1m"}},
    ],
)
def test_a_search_of_another_form_is_refused(client: Elasticsearch, search: dict[str, Any]) -> None:
    assert refused(client, "POST", f"/{NAME}/_search", search)


@pytest.mark.parametrize(
    "mapping",
    [
        {"type": "vector"},
        {"type": "keyword", "indexed": False},
        {"type": "keyword", "index": "false"},
        {
            "type": "dense_vector",
            "dims": 4097,
            "index": True,
            "similarity": "cosine",
            "index_options": {"type": "hnsw"},
        },
        {"type": "dense_vector", "dims": 32, "index": True, "similarity": "cos", "index_options": {"type": "hnsw"}},
        {"type": "dense_vector", "dims": 32, "index": True, "similarity": "cosine", "index_options": {"type": "ivf"}},
        {"type": "dense_vector", "dims": 32, "index": True, "similarity": "cosine", "index_options": {"M": 16}},
    ],
)
def test_a_field_of_another_form_is_refused(client: Elasticsearch, mapping: dict[str, Any]) -> None:
    body = {"settings": {}, "mappings": {"dynamic": False, "properties": {"field": mapping}}}

    assert refused(client, "PUT", "/new", body)


@pytest.mark.parametrize(
    "change",
    [
        {"embedding": [1.0]},
        {"embedding": [0.0] * DIMENSIONS},
        {"title": "not mapped"},
        {"words": {"title": "x" * 32_767}},
        {"words": {"a\0b": "x"}},
        {"words": "x"},
        {"numbers": {"a.b": 1.0}},
        {"numbers": {"year": "1840"}},
        {"numbers": {"whole": 1}},
        {"digest": "x" * 32_767},
    ],
)
def test_a_document_that_isnt_of_the_mapping_is_refused(client: Elasticsearch, change: dict[str, Any]) -> None:
    answer = client.bulk(index=NAME, operations=[{"index": {"_id": "x"}}, {"embedding": VECTOR} | change])

    assert answer["errors"]
    assert answer["items"][0]["index"]["status"] == 400


@pytest.mark.parametrize(
    "operations",
    [
        [{"create": {"_id": "x"}}, {"embedding": VECTOR}],
        [{"index": {"id": "x"}}, {"embedding": VECTOR}],
        [{"index": {"_id": ""}}, {"embedding": VECTOR}],
        [{"index": {"_id": "x" * 513}}, {"embedding": VECTOR}],
        [{"delete": {}}],
        [{"delete": {"_id": "x"}, "index": {"_id": "x"}}],
    ],
)
def test_an_action_of_another_form_is_refused(client: Elasticsearch, operations: list[Any]) -> None:
    answer = client.options(ignore_status=400).bulk(index=NAME, operations=operations)

    assert answer.meta.status == 400 or answer["errors"]


@pytest.mark.parametrize("accepted", ["text/html", "application/vnd.elasticsearch+json; compatible-with=7"])
def test_other_media_types_are_refused(client: Elasticsearch, accepted: str) -> None:
    assert refused(client, "GET", f"/{NAME}", Accept=accepted) == "media_type_header_exception"


def test_what_is_put_in_is_found_once_it_is_refreshed() -> None:
    with standing_in(pace=1e-9) as stand_in, another(stand_in) as index:
        put_in(stand_in, ITEM)
        assert index.search(unit(1), 1, parsed({}), SPACE) == []

        index.settle()
        assert len(index.search(unit(1), 1, parsed({}), SPACE)) == 1
