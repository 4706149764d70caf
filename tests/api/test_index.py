"""`/index` and `/items`: what an index tells of itself and of its items, and what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.embeddings import EmbeddingModel
from app.errors import IndexUnavailable
from app.search.opening import opened
from app.search.store import Item
from app.serving import State
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, TOKEN, MakeSettings, Serving
from tests.test_bad_input import refused
from tests.test_status import state

HOSTILE = {
    "plain": "plain",
    "a/b c": "a%2Fb%20c",
    "a/b": "a/b",
    "../x": "..%2Fx",
    "https://example.org/a.png?x=1#y": "https%3A%2F%2Fexample.org%2Fa.png%3Fx%3D1%23y",
    "ü😀": "%C3%BC%F0%9F%98%80",
    "100%": "100%25",
    "two\nlines\n": "two%0Alines%0A",
    " spaced ": "%20spaced%20",
}
WORKS: dict[str, dict[str, Any]] = {
    "sea": {"artist": "Ada Impasto", "year": 1871.0, "tags": ["sea", "storm"], "on_view": True},
    "dogs": {"artist": "Ada Impasto", "year": 1968, "tags": ["dogs"], "on_view": False},
    "boat": {"artist": "Bo Fresco", "year": 1871, "tags": ["sea"], "maker": {"name": "not a field"}},
}
PATHS = ("/index", "/items", "/items/sea")


@pytest.fixture(scope="module")
def client(
    serving: Serving, make_settings: MakeSettings, model: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A service with an index of some works, and of items whose ids have whatever letters there are."""
    index_url = f"faiss://{tmp_path_factory.mktemp('index')}"
    kept = WORKS | {identity: {} for identity in HOSTILE}
    store = opened(index_url)
    vectors = np.eye(len(kept), model.dimensions, dtype=np.float32)
    store.upsert([Item(name, vector, kept[name]) for name, vector in zip(kept, vectors, strict=True)], model.space)
    store.close()
    with serving(make_settings(index_url=index_url, admin_token=["a-secret-for-administrators"])) as client:
        yield client


def asked(client: TestClient, path: str) -> Any:
    answer = client.get(path, headers=AUTHORIZED)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_index_tells_what_it_is_and_what_filters_can_be_made_of(client: TestClient, model: EmbeddingModel) -> None:
    settings = state(client).settings

    assert asked(client, "/index") == {
        "count": len(WORKS) + len(HOSTILE),
        "space": model.space,
        "dimensions": 64,
        "kind": "faiss",
        "model": settings.model_name,
        "pretrained": settings.pretrained,
        "fields": {
            "artist": {
                "values": [{"value": "Ada Impasto", "count": 2}, {"value": "Bo Fresco", "count": 1}],
                "distinct": 2,
            },
            "on_view": {"values": [{"value": False, "count": 1}, {"value": True, "count": 1}], "distinct": 2},
            "tags": {
                "values": [
                    {"value": "sea", "count": 2},
                    {"value": "dogs", "count": 1},
                    {"value": "storm", "count": 1},
                ],
                "distinct": 3,
            },
            "year": {
                "values": [{"value": 1871, "count": 2}, {"value": 1968, "count": 1}],
                "distinct": 2,
                "lowest": 1871,
                "highest": 1968,
            },
        },
    }


def test_whole_numbers_are_told_as_such(client: TestClient) -> None:
    assert '"lowest":1871,"highest":1968' in client.get("/index", headers=AUTHORIZED).text


def test_an_empty_index_tells_that_it_is_and_what_comes_into_it_at_once(
    serving: Serving, make_settings: MakeSettings, tmp_path: Path
) -> None:
    with serving(make_settings(index_url=f"faiss://{tmp_path / 'index'}")) as client:
        empty = asked(client, "/index")
        assert (empty["count"], empty["space"], empty["dimensions"], empty["fields"]) == (0, None, None, {})
        assert asked(client, "/items") == {"items": []}
        assert refused(client.get("/items/sea", headers=AUTHORIZED)) == (404, "item_not_found")

        item = {"id": "sea", "embedding": [1.0] * 64, "metadata": {"year": 1840}}
        client.post("/ingest", json={"items": [item]}, headers=AUTHORIZED)

        assert [*asked(client, "/index")["fields"]] == ["year"]


def test_items_are_told_with_their_metadata(client: TestClient) -> None:
    items = asked(client, "/items")["items"]

    assert {item["id"]: item["metadata"] for item in items} == WORKS | {identity: {} for identity in HOSTILE}
    assert all(item.keys() == {"id", "metadata"} for item in items)


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (2, 2), (1000, len(WORKS) + len(HOSTILE))])
def test_no_more_items_are_told_than_are_wanted(client: TestClient, limit: int, count: int) -> None:
    assert len(asked(client, f"/items?limit={limit}")["items"]) == count


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "", "1.5", "50.0", "true", "[1]", "9" * 5000, "NaN"])
def test_a_limit_out_of_bounds_is_invalid(client: TestClient, limit: str) -> None:
    answer = client.get("/items", params={"limit": limit}, headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == "'limit' must be a whole number from 1 to 1000."


@pytest.mark.parametrize(
    ("query", "detail"),
    [("offset=10", "'offset' is not a field of this route."), ("limit=1&limit=2", "'limit' came more than once.")],
)
def test_other_parameters_are_invalid(client: TestClient, query: str, detail: str) -> None:
    answer = client.get(f"/items?{query}", headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == detail


@pytest.mark.parametrize("item", HOSTILE)
def test_an_item_is_asked_for_by_its_id_whatever_letters_that_has(client: TestClient, item: str) -> None:
    assert asked(client, f"/items/{HOSTILE[item]}") == {"id": item, "metadata": {}}


def test_an_item_is_told_as_it_was_put_in(client: TestClient) -> None:
    assert asked(client, "/items/boat") == {"id": "boat", "metadata": WORKS["boat"]}


@pytest.mark.parametrize("path", ["no-such-item", "Sea", "sea/", "sea%20", "x" * 512])
def test_an_item_that_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    assert refused(client.get(f"/items/{path}", headers=AUTHORIZED)) == (404, "item_not_found")


@pytest.mark.parametrize("path", ["", "%20", "%0A", "a%00b", "x" * 513, "%C3%BC" * 257])
def test_an_id_that_no_item_can_have_is_invalid(client: TestClient, path: str) -> None:
    assert refused(client.get(f"/items/{path}", headers=AUTHORIZED)) == (422, "invalid_request")


@pytest.mark.parametrize("path", [*PATHS, "/items/no-such-item", "/items/", "/items?limit=0"])
def test_the_token_for_work_is_asked_for_before_anything_else(client: TestClient, path: str) -> None:
    for authorization in (None, "Bearer wrong", f"Basic {TOKEN}", "Bearer a-secret-for-administrators"):
        answer = client.get(path, headers={"Authorization": authorization} if authorization else {})
        assert refused(answer) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("path", "methods"), [("/index", "GET"), ("/items", "GET"), ("/items/sea", "DELETE, GET")])
def test_another_method_is_not_allowed(client: TestClient, path: str, methods: str) -> None:
    answer = client.post(path, headers=AUTHORIZED)

    assert refused(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == methods


@pytest.mark.parametrize("path", PATHS)
def test_without_an_index_there_is_no_such_route(serving: Serving, make_settings: MakeSettings, path: str) -> None:
    with serving(make_settings()) as client:
        assert refused(client.get(path, headers=AUTHORIZED)) == (404, "not_found")


def test_what_only_asks_is_not_counted_against_a_limit(
    serving: Serving, make_settings: MakeSettings, tmp_path: Path
) -> None:
    with serving(make_settings(index_url=f"faiss://{tmp_path / 'index'}", rate_limit="1/hour")) as client:
        answers = [client.get("/index", headers=AUTHORIZED) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.mark.parametrize("path", PATHS)
def test_an_index_that_does_not_answer_is_worth_another_try(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def broken(*_: Any) -> Any:
        raise IndexUnavailable("The index doesn't answer.")

    for method in ("about", "items", "metadata_of"):
        monkeypatch.setattr(state(client).index._store, method, broken)

    answer = client.get(path, headers=AUTHORIZED)

    assert refused(answer) == (503, "index_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_service_that_is_stopping_tells_nothing_more(client: TestClient) -> None:
    state(client).embedder.state = State.DRAINING
    try:
        answers = [client.get(path, headers=AUTHORIZED) for path in PATHS]
    finally:
        state(client).embedder.state = State.HEALTHY

    assert [refused(answer) for answer in answers] == [(503, "not_ready")] * len(PATHS)


def test_an_index_of_another_space_is_told_of_all_the_same(
    serving: Serving, make_settings: MakeSettings, tmp_path: Path
) -> None:
    index_url = f"faiss://{tmp_path / 'index'}"
    store = opened(index_url)
    store.upsert([Item("old", np.eye(1, 16, dtype=np.float32)[0], {"year": 1840})], "fedcba9876543210")
    store.close()
    with serving(make_settings(index_url=index_url)) as client:
        about = asked(client, "/index")

        assert (about["space"], about["dimensions"]) == ("fedcba9876543210", 16)
        assert asked(client, "/items/old")["metadata"] == {"year": 1840}
