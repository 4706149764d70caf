"""`/ingest` and `/items/{id}`: what gets into an index and out of it, and what is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import respx
from app.embeddings import EmbeddingModel
from app.errors import IndexUnavailable
from app.search.opening import opened
from app.search.store import Item
from starlette.testclient import TestClient

from tests.api.test_metrics import counted
from tests.conftest import AUTHORIZED, TOKEN, MakeSettings, Serving
from tests.test_bad_input import refused
from tests.test_endpoints import IMAGE_URL, as_png, painting
from tests.test_status import state

PNG = as_png(painting(80, 50))
BASE64 = base64.b64encode(PNG).decode()
ADMIN = "a-secret-for-administrators"


def vector(*numbers: float, dimensions: int = 64) -> list[float]:
    return [*numbers, *[0.0] * (dimensions - len(numbers))]


def ingest(client: TestClient, *items: Any) -> Any:
    """The answer to items of which some may fail."""
    answer = client.post("/ingest", content=json.dumps({"items": items}), headers=AUTHORIZED)
    assert answer.status_code == 200, answer.text
    return answer.json()


def kept(client: TestClient, item: str) -> Any:
    """An item of the index, or None."""
    items = {each.id: each for each in state(client).index._store.items()}
    return items.get(item)


def test_a_vector_is_kept_at_length_1_with_what_is_said_of_it(searching: TestClient) -> None:
    metadata = {"title": "A sea", "tags": ["water"], "maker": {"name": None}}

    answer = ingest(searching, {"id": "longer", "embedding": vector(3, 4), "metadata": metadata})

    assert answer == {"ingested": 1, "failed": [], "space": state(searching).embedder.model.space}
    assert kept(searching, "longer").vector == pytest.approx(np.array(vector(0.6, 0.8)), abs=1e-7)
    assert kept(searching, "longer").metadata == metadata
    assert kept(searching, "longer").digest == ""


@pytest.mark.parametrize("size", [5e-324, 1e-200, 1, 1e200, 1.7e308])
def test_numbers_of_a_vector_may_be_of_any_size(searching: TestClient, size: float) -> None:
    assert ingest(searching, {"id": "sized", "embedding": vector(0, size, size)})["ingested"] == 1

    assert kept(searching, "sized").vector == pytest.approx(np.array(vector(0, 0.5**0.5, 0.5**0.5)), abs=1e-6)


@respx.mock
def test_images_are_embedded_whatever_form_they_have(searching: TestClient, model: EmbeddingModel) -> None:
    respx.get(IMAGE_URL).respond(content=PNG)
    images = [{"url": IMAGE_URL}, {"image": IMAGE_URL}, {"image": BASE64}, {"image": f"data:image/png;base64,{BASE64}"}]

    answer = ingest(searching, *({"id": f"image {place}", **image} for place, image in enumerate(images)))

    assert (answer["ingested"], answer["failed"]) == (4, [])
    (expected,) = model.embed_images([painting(80, 50)])
    for place in range(4):
        assert kept(searching, f"image {place}").vector == pytest.approx(expected, abs=1e-5)
        assert kept(searching, f"image {place}").metadata == {}


def test_what_was_put_in_is_found_and_replaced(searching: TestClient) -> None:
    def best() -> Any:
        body = {"id": "beacon", "k": 1}
        return searching.post("/search", json=body, headers=AUTHORIZED).json()["results"][0]["metadata"]

    ingest(searching, {"id": "beacon", "embedding": vector(0, 0, 0, 1)})
    ingest(searching, {"id": "ship", "embedding": vector(0, 0, 0, 1), "metadata": {"sails": 3}})
    assert best() == {"sails": 3}
    ingest(searching, {"id": "ship", "embedding": vector(0, 0, 0, 1), "metadata": {"sails": 4}})
    assert best() == {"sails": 4}


def nested(depth: int) -> Any:
    return json.loads("[" * depth + "]" * depth)


GOOD = vector(1)
UNUSABLE: dict[str, tuple[Any, str, str]] = {
    "no object": (7, "invalid_request", "An item must be a JSON object."),
    "nothing": ({}, "invalid_request", "Send exactly one of 'embedding', 'url' and 'image'."),
    "nothing to embed": ({"id": "x"}, "invalid_request", "Send exactly one of 'embedding', 'url' and 'image'."),
    "two of them": (
        {"id": "x", "embedding": GOOD, "image": BASE64},
        "invalid_request",
        "Send exactly one of 'embedding', 'url' and 'image'.",
    ),
    "no id": ({"embedding": GOOD}, "invalid_request", "'id' is missing."),
    "a blank id": (
        {"id": " ", "embedding": GOOD},
        "invalid_request",
        "'id' must be a string of at most 512 bytes that isn't blank and has no NUL.",
    ),
    "a number for an id": ({"id": 5, "embedding": GOOD}, "invalid_request", "'id' must be a string."),
    "half a letter for an id": (
        {"id": "\ud800", "embedding": GOOD},
        "invalid_request",
        "'id' must be a string of at most 512 bytes that isn't blank and has no NUL.",
    ),
    "an unknown field": (
        {"id": "x", "embedding": GOOD, "title": "A sea"},
        "invalid_request",
        "'title' is not a field of this route.",
    ),
    "no numbers": ({"id": "x", "embedding": "1"}, "invalid_request", "'embedding' must be a list."),
    "texts for numbers": (
        {"id": "x", "embedding": ["1"] * 64},
        "invalid_request",
        "'embedding[0]' must be a finite number.",
    ),
    "true for a number": (
        {"id": "x", "embedding": [*GOOD[:-1], True]},
        "invalid_request",
        "'embedding[63]' must be a finite number.",
    ),
    "not a number": (
        {"id": "x", "embedding": [float("nan"), *GOOD[1:]]},
        "invalid_request",
        "'embedding[0]' must be a finite number.",
    ),
    "endless": (
        {"id": "x", "embedding": [float("inf"), *GOOD[1:]]},
        "invalid_request",
        "'embedding[0]' must be a finite number.",
    ),
    "beyond float64": (
        {"id": "x", "embedding": [10**400, *GOOD[1:]]},
        "invalid_request",
        "'embedding[0]' must be a finite number.",
    ),
    "zeros": ({"id": "x", "embedding": [0] * 64}, "invalid_request", "'embedding' has nothing but zeros."),
    "too few numbers": (
        {"id": "x", "embedding": GOOD[:-1]},
        "space_mismatch",
        "'embedding' has 63 numbers, the served model's vectors have 64.",
    ),
    "none": (
        {"id": "x", "embedding": []},
        "space_mismatch",
        "'embedding' has 0 numbers, the served model's vectors have 64.",
    ),
    "no text for a space": ({"id": "x", "embedding": GOOD, "space": 1}, "invalid_request", "'space' must be a string."),
    "metadata that is a list": (
        {"id": "x", "embedding": GOOD, "metadata": []},
        "invalid_request",
        "'metadata' must be an object.",
    ),
    "metadata that is null": (
        {"id": "x", "embedding": GOOD, "metadata": None},
        "invalid_request",
        "'metadata' must be an object.",
    ),
    "too much metadata": (
        {"id": "x", "embedding": GOOD, "metadata": {"a": "x" * 65_536}},
        "too_large",
        "'metadata' has more than 65536 bytes.",
    ),
    "metadata without a bottom": (
        {"id": "x", "embedding": GOOD, "metadata": {"a": nested(400)}},
        "invalid_request",
        "'metadata' is nested too deeply.",
    ),
    "wrong base64": (
        {"id": "x", "image": "!"},
        "invalid_request",
        "The image is neither base64 nor a 'data:' URI nor an http(s) URL.",
    ),
    "no image": (
        {"id": "x", "image": base64.b64encode(b"hello").decode()},
        "not_an_image",
        "The bytes are no image.",
    ),
    "a forbidden URL": ({"id": "x", "url": "ftp://example.org/a.png"}, "url_forbidden", "This URL is not allowed."),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_item_that_can_not_be_used_says_why_and_leaves_the_others_alone(searching: TestClient, kind: str) -> None:
    item, code, detail = UNUSABLE[kind]
    before, after = f"{kind}, before", f"{kind}, after"

    answer = ingest(searching, {"id": before, "embedding": GOOD}, item, {"id": after, "embedding": GOOD})

    named = {"id": "x"} if isinstance(item, dict) and item.get("id") == "x" else {}
    (failure,) = answer["failed"]
    assert failure == {"index": 1, **named, "code": code, "detail": failure["detail"]}
    if code != "not_an_image":  # whose words are others'
        assert failure["detail"] == detail
    assert answer["ingested"] == 2
    assert kept(searching, before)
    assert kept(searching, after)
    assert not kept(searching, "x")


def test_items_may_say_of_which_space_they_must_be(searching: TestClient) -> None:
    space = state(searching).embedder.model.space
    items = [{"id": f"of {each}", "embedding": GOOD, "space": each} for each in (space, "fedcba9876543210")]

    answer = ingest(searching, *items, {"id": "picture", "image": BASE64, "space": "fedcba9876543210"})

    assert answer["ingested"] == 1
    assert [(each["index"], each["code"]) for each in answer["failed"]] == [
        (1, "space_mismatch"),
        (2, "space_mismatch"),
    ]
    assert space in answer["failed"][0]["detail"]


def test_an_id_counts_once_in_a_request(searching: TestClient) -> None:
    items = [{"id": "twice", "embedding": GOOD, "metadata": {"place": place}} for place in range(3)]

    answer = ingest(searching, *items)

    assert answer["ingested"] == 1
    assert [(each["index"], each["id"], each["code"]) for each in answer["failed"]] == [
        (1, "twice", "invalid_request"),
        (2, "twice", "invalid_request"),
    ]
    assert kept(searching, "twice").metadata == {"place": 0}


def test_letters_that_no_store_can_keep_are_replaced(searching: TestClient) -> None:
    ingest(searching, {"id": "letters", "embedding": GOOD, "metadata": {"a\0": "b\0", "n": float("nan")}})

    assert kept(searching, "letters").metadata == {"a\ufffd": "b\ufffd", "n": None}


def test_numbers_of_more_than_64_bits_are_kept_as_near_as_may_be(searching: TestClient) -> None:
    numbers = [2**64 - 1, -(2**63), 2**64, -(10**30), 10**400]

    ingest(searching, {"id": "numbers", "embedding": GOOD, "metadata": {"n": numbers}})

    assert kept(searching, "numbers").metadata == {"n": [2**64 - 1, -(2**63), 2.0**64, -1e30, None]}


def test_whatever_is_kept_of_an_item_can_be_answered(searching: TestClient) -> None:
    deep = [{"id": f"deep {depth}", "embedding": GOOD, "metadata": {"a": nested(depth)}} for depth in range(240, 260)]

    answer = ingest(searching, {"id": "wide", "embedding": GOOD}, *deep)

    assert 0 < answer["ingested"] < len(deep)
    found = searching.post("/search", json={"id": "wide", "k": 1000}, headers=AUTHORIZED)
    assert found.status_code == 200
    assert answer["ingested"] - 1 == sum(each["id"].startswith("deep") for each in found.json()["results"])


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "'items' is missing."),
        ({"items": []}, "'items' is empty."),
        ({"items": {"id": "x"}}, "'items' must be a list."),
        ({"items": [{"id": "x", "embedding": GOOD}], "space": "x"}, "'space' is not a field of this route."),
        ([], "The body must be a JSON object."),
    ],
    ids=repr,
)
def test_a_body_that_has_no_items_is_told_why(searching: TestClient, body: Any, detail: str) -> None:
    answer = searching.post("/ingest", json=body, headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == detail


def test_more_items_than_a_request_may_have_are_too_many(searching: TestClient) -> None:
    items = [{"id": str(number), "embedding": GOOD} for number in range(257)]

    assert refused(searching.post("/ingest", json={"items": items}, headers=AUTHORIZED)) == (413, "too_large")
    assert ingest(searching, *items[:-1])["ingested"] == 256


def test_another_content_type_is_not_taken(searching: TestClient) -> None:
    answer = searching.post("/ingest", content=b"a", headers=AUTHORIZED | {"Content-Type": "text/csv"})

    assert refused(answer) == (415, "unsupported_media_type")


def test_an_index_of_another_space_takes_nothing(serving: Serving, make_settings: MakeSettings, tmp_path: Path) -> None:
    index_url = f"faiss://{tmp_path / 'index'}"
    store = opened(index_url)
    store.upsert([Item("old", np.eye(1, 64, dtype=np.float32)[0], {})], "fedcba9876543210")
    store.close()
    with serving(make_settings(index_url=index_url)) as client:
        answer = client.post("/ingest", json={"items": [{"id": "new", "embedding": GOOD}]}, headers=AUTHORIZED)

        assert refused(answer) == (409, "space_mismatch")
        assert kept(client, "new") is None


def test_an_index_that_does_not_answer_is_worth_another_try(
    searching: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise IndexUnavailable("The index doesn't answer.")

    monkeypatch.setattr(state(searching).index._store, "upsert", broken)
    monkeypatch.setattr(state(searching).index._store, "delete", broken)

    put = searching.post("/ingest", json={"items": [{"id": "new", "embedding": GOOD}]}, headers=AUTHORIZED)
    taken = searching.delete("/items/new", headers=AUTHORIZED)

    assert refused(put) == refused(taken) == (503, "index_unavailable")
    assert int(put.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ("plain", "plain"),
        ("a/b c", "a%2Fb%20c"),
        ("a/b", "a/b"),
        ("https://example.org/a.png?x=1#y", "https%3A%2F%2Fexample.org%2Fa.png%3Fx%3D1%23y"),
        ("ü😀", "%C3%BC%F0%9F%98%80"),
        ("100%", "100%25"),
        ("two\nlines\n", "two%0Alines%0A"),
    ],
)
def test_an_item_is_taken_out_by_its_id_whatever_letters_that_has(searching: TestClient, item: str, path: str) -> None:
    ingest(searching, {"id": item, "embedding": GOOD})
    assert kept(searching, item)

    answers = [searching.delete(f"/items/{path}", headers=AUTHORIZED) for _ in range(2)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"deleted": 1}), (200, {"deleted": 0})]
    assert not kept(searching, item)


@pytest.mark.parametrize("path", ["", "%20", "a%00b", "x" * 513])
def test_an_id_that_no_item_can_have_is_invalid(searching: TestClient, path: str) -> None:
    assert refused(searching.delete(f"/items/{path}", headers=AUTHORIZED)) == (422, "invalid_request")


def test_the_index_is_changed_with_the_token_for_that_alone(
    serving: Serving, make_settings: MakeSettings, tmp_path: Path
) -> None:
    body = {"items": [{"id": "x", "embedding": GOOD}]}
    with serving(make_settings(index_url=f"faiss://{tmp_path / 'index'}", admin_token=[ADMIN])) as client:

        def statuses(token: str) -> list[int]:
            headers = {"Authorization": f"Bearer {token}"}
            calls = [("POST", "/search", {"query": "a sea"}), ("POST", "/ingest", body), ("DELETE", "/items/x", None)]
            return [
                client.request(method, path, json=sent, headers=headers).status_code for method, path, sent in calls
            ]

        assert statuses(TOKEN) == [200, 401, 401]
        assert statuses(ADMIN) == [401, 200, 200]


def test_the_token_is_asked_for_before_anything_else(searching: TestClient) -> None:
    for sent in ({"content": b"{"}, {"content": b"?", "headers": {"Content-Type": "text/plain"}}):
        assert refused(searching.post("/ingest", **sent)) == (401, "unauthorized")
    assert refused(searching.delete("/items/")) == (401, "unauthorized")


def test_changes_are_counted_by_what_became_of_items(searching: TestClient) -> None:
    def counts() -> list[float]:
        outcomes = ("ingested", "failed", "deleted")
        return [
            counted(searching, "embeddings_index_items_total", store="faiss", outcome=outcome) for outcome in outcomes
        ]

    before = counts()
    ingest(searching, {"id": "counted", "embedding": GOOD}, {"id": "too", "embedding": GOOD}, {"id": "not"})
    searching.delete("/items/counted", headers=AUTHORIZED)

    assert [new - old for new, old in zip(counts(), before, strict=True)] == [2, 1, 1]


def test_the_path_of_an_item_is_no_route_of_its_own_in_metrics(searching: TestClient) -> None:
    labels = {"route": "/items/{id}", "status": "200", "code": ""}
    before = counted(searching, "embeddings_requests_total", **labels)

    searching.delete("/items/of-no-account", headers=AUTHORIZED)

    assert counted(searching, "embeddings_requests_total", **labels) == before + 1
