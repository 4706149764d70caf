"""What Elasticsearch is sent, word for word."""

import json

import pytest
from app.search.elasticsearch import bodies, store
from app.search.filters import parsed
from app.search.store import Item, Store

from tests.search.conftest import DIMENSIONS, SPACE, random_items, unit
from tests.search.elasticsearch.stand_in import StandIn

EVERYTHING = parsed({})


def test_an_index_is_stated_in_full(stand_in: StandIn, filled: Store) -> None:
    (asked,) = stand_in.requests("PUT /tate_embeddings-[^/]*$")

    assert asked.path.startswith(f"/tate_embeddings-{SPACE}-")
    assert asked.body == {
        "aliases": {
            "tate_embeddings": {"is_write_index": True},
            f"tate_embeddings-{SPACE}": {},
            "tate_embeddings-free": {},
        },
        "settings": {
            "index.refresh_interval": "1s",
            "index.mapping.total_fields.ignore_dynamic_beyond_limit": True,
        },
        "mappings": {
            "_meta": {"made_by": "tate-embeddings", "space": SPACE, "dimensions": DIMENSIONS},
            "dynamic": False,
            "dynamic_templates": [
                {
                    "numbers": {
                        "path_match": "numbers.*",
                        "match_mapping_type": "double",
                        "mapping": {"type": "double"},
                    }
                }
            ],
            "properties": {
                "embedding": {
                    "type": "dense_vector",
                    "dims": DIMENSIONS,
                    "index": True,
                    "similarity": "cosine",
                    "index_options": {"type": "hnsw", "m": 16, "ef_construction": 100},
                },
                "metadata": {"type": "object", "enabled": False},
                "digest": {"type": "keyword", "index": False, "doc_values": True},
                "words": {"type": "flattened"},
                "flags": {"type": "flattened"},
                # The year has come by the template.
                "numbers": {
                    "type": "object",
                    "dynamic": True,
                    "properties": {"year": {"type": "double"}, "tags": {"type": "double"}},
                },
            },
        },
    }


def test_an_item_is_a_document_under_its_id(stand_in: StandIn, filled: Store) -> None:
    (asked,) = stand_in.requests("_bulk")

    assert asked.path == f"/tate_embeddings-{SPACE}/_bulk"
    assert asked.parameters == {"require_alias": "true"}
    assert asked.body == [
        (
            "index",
            {"_id": "sea"},
            {
                "embedding": [1.0] + [0.0] * (DIMENSIONS - 1),
                "metadata": '{"title": "The sea", "year": 1840, "on_view": true, "tags": ["a", 1, null]}',
                "digest": "digest",
                "words": {"title": ["The sea"], "tags": ["a"]},
                "flags": {"on_view": [True]},
                "numbers": {"year": [1840.0], "tags": [1.0]},
            },
        )
    ]


def test_a_search_is_one_request(stand_in: StandIn, filled: Store) -> None:
    stand_in.asked.clear()
    where = parsed({
        "title": ["The sea", 7], "on_view": True, "a.b": {"gte": "A"}, "year": {"gte": 1800, "lte": 1850.5},
    })  # fmt: skip

    filled.search(unit(1), 10, where, SPACE)

    (asked,) = stand_in.asked
    assert str(asked) == f"POST /tate_embeddings-{SPACE}/_search"
    assert asked.body == {
        "knn": {
            "field": "embedding",
            "query_vector": [1.0] + [0.0] * (DIMENSIONS - 1),
            "k": 10,
            "num_candidates": 200,
            "filter": [
                {
                    "bool": {
                        "should": [{"terms": {"words.title": ["The sea"]}}, {"terms": {"numbers.title": [7.0]}}],
                        "minimum_should_match": 1,
                    }
                },
                {"terms": {"flags.on_view": [True]}},
                {"range": {"words.a%2Eb": {"gte": "A", "lte": "\U0010ffff" * 8}}},
                {"range": {"numbers.year": {"gte": 1800.0, "lte": 1850.5}}},
            ],
        },
        "size": 10,
        "_source": ["metadata"],
    }


def test_no_search_goes_further_than_elasticsearch_lets_it(stand_in: StandIn, filled: Store) -> None:
    filled.search(unit(1), 10_000, EVERYTHING, SPACE)

    (asked,) = stand_in.requests("_search")
    assert (asked.body["knn"]["k"], asked.body["knn"]["num_candidates"]) == (10_000, 10_000)


@pytest.mark.parametrize(("score", "cosine"), [(1.0, 1.0), (0.5, 0.0), (0.0, -1.0), (0.75, 0.5)])
def test_a_score_is_shown_as_the_cosine(score: float, cosine: float) -> None:
    found = bodies.found({"_id": "sea", "_score": score, "_source": {"metadata": "{}"}})

    assert found.score == pytest.approx(cosine)


def test_opening_asks_nothing(stand_in: StandIn, index: Store) -> None:
    assert stand_in.asked == []


def test_many_items_go_in_several_requests(stand_in: StandIn, index: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CHUNK_ITEMS", 7)

    index.upsert(random_items(20), SPACE)

    assert [len(asked.body) for asked in stand_in.requests("_bulk")] == [7, 7, 6]
    assert len(index.digests()) == 20


def test_everything_is_gone_through_in_pages_and_let_go_of(
    stand_in: StandIn, index: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_ITEMS", 3)
    items = random_items(7)
    index.upsert(items, SPACE)

    assert sorted(item.id for item in index.items()) == sorted(item.id for item in items)
    next(index.items())

    assert len(stand_in.requests("_search")) == 4
    assert len(index.vectors([item.id for item in items], SPACE)) == 7
    assert stand_in.cluster.open_points == 0


@pytest.mark.parametrize("text", ["\U0001f600" * 8192, "\U0001f600" * 8191 + "x", "é" * 8192])
def test_a_string_that_is_long_for_a_term_is_found_by_all_of_it(index: Store, text: str) -> None:
    index.upsert([Item("long", unit(1), {"title": text}), Item("other", unit(1), {"title": text[:-1]})], SPACE)
    index.settle()

    assert [found.id for found in index.search(unit(1), 10, parsed({"title": text}), SPACE)] == ["long"]


@pytest.mark.parametrize("name", ["a.b", ".", "..a", "*", "year*", " x", "a/b", "%", "ü"])
def test_a_number_may_have_any_name(index: Store, name: str) -> None:
    index.upsert([Item("one", unit(1), {name: 1, "yearly": 1}), Item("two", unit(1), {name: 2})], SPACE)
    index.settle()

    assert [found.id for found in index.search(unit(1), 10, parsed({name: {"gte": 2}}), SPACE)] == ["two"]
    assert index.has_field(name)
    assert not index.has_field(name + "*")


def test_minus_nothing_is_nothing(index: Store) -> None:
    index.upsert([Item("one", unit(1), {"number": -0.0})], SPACE)
    index.settle()

    for where in ({"number": 0}, {"number": -0.0}, {"number": {"gte": 0}}, {"number": {"lte": -0.0}}):
        assert index.search(unit(1), 1, parsed(where), SPACE), where


@pytest.mark.slow
def test_with_more_fields_of_numbers_than_an_index_may_have_an_item_is_kept(index: Store) -> None:
    metadata = {f"field-{number}": number for number in range(1001)}

    index.upsert([Item("one", unit(1), metadata)], SPACE)
    index.settle()

    assert index.search(unit(1), 1, EVERYTHING, SPACE)[0].metadata == metadata
    assert index.has_field("field-1")
    assert not index.has_field("field-1000")


@pytest.mark.parametrize("number", [10**400, 2**70, 1.0, 1e300])
def test_whatever_json_can_say_comes_back(index: Store, number: float) -> None:
    index.upsert([Item("one", unit(1), {"n": [number], "": {"": number}})], SPACE)
    index.settle()

    (found,) = index.search(unit(1), 1, EVERYTHING, SPACE)
    assert json.dumps(found.metadata) == json.dumps({"n": [number], "": {"": number}})
