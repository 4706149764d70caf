"""`/search`: what is found, by what, and what is refused."""

import base64
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import respx
import structlog
from app.embeddings import EmbeddingModel
from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable, IndexUnusable
from app.main import create_app
from app.search.opening import opened
from app.search.store import Item
from app.serving import State
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, MakeSettings, Serving
from tests.test_bad_input import refused
from tests.test_endpoints import IMAGE_URL, as_png, painting
from tests.test_status import state

PICTURE = painting(70, 50)
PNG = as_png(PICTURE)
BASE64 = base64.b64encode(PNG).decode()
METADATA: dict[str, dict[str, Any]] = {
    "sea": {"title": "The sea", "year": 1840},
    "dogs": {"title": "Dogs", "year": 1902},
    "picture": {"title": "A picture"},
    "far": {},
}
SEA, DOGS = "a stormy sea at night", "two dogs on a beach"
EXACTLY_ONE = "Send exactly one of 'query', 'url', 'image', 'id', 'embedding' and 'queries'."


@pytest.fixture(scope="module")
def vectors(model: EmbeddingModel) -> dict[str, Vectors]:
    """The vector of each item of the index."""
    sea, dogs = model.embed_texts([SEA, DOGS])
    (picture,) = model.embed_images([PICTURE])
    return {"sea": sea, "dogs": dogs, "picture": picture, "far": -sea}


@pytest.fixture(scope="module")
def client(
    serving: Serving,
    make_settings: MakeSettings,
    model: EmbeddingModel,
    vectors: dict[str, Vectors],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TestClient]:
    """A service with an index of four items."""
    index_url = f"faiss://{tmp_path_factory.mktemp('index')}"
    store = opened(index_url)
    store.upsert([Item(name, vector, METADATA[name]) for name, vector in vectors.items()], model.space)
    store.close()
    with serving(make_settings(index_url=index_url)) as client:
        yield client


def search(client: TestClient, **body: Any) -> Any:
    """The answer to a search that must be one."""
    answer = client.post("/search", json=body, headers=AUTHORIZED)
    assert answer.status_code == 200, answer.text
    return answer.json()


def found(client: TestClient, **body: Any) -> list[str]:
    return [result["id"] for result in search(client, **body)["results"]]


def nearest(vectors: dict[str, Vectors], vector: Vectors) -> list[str]:
    """The ids in the order in which a search for this vector should find them."""
    return sorted(vectors, key=lambda each: -float(vectors[each] @ vector))


def test_a_text_finds_the_items_nearest_to_it_with_their_cosines(
    client: TestClient, vectors: dict[str, Vectors]
) -> None:
    answer = search(client, query=SEA)

    assert [result["id"] for result in answer["results"]] == nearest(vectors, vectors["sea"])
    for result in answer["results"]:
        assert result["score"] == pytest.approx(float(vectors[result["id"]] @ vectors["sea"]), abs=1e-5)
    assert answer["results"][0] == {
        "id": "sea",
        "score": pytest.approx(1, abs=1e-5),
        "metadata": METADATA["sea"],
    }


def test_an_answer_says_how_long_it_took_and_where_vectors_come_from(client: TestClient) -> None:
    answer = search(client, query=SEA)

    embedded = client.post("/embed-text", json={"query": SEA}, headers=AUTHORIZED).json()
    assert {*answer} == {*embedded} - {"embedding"} | {"results", "took_ms"}
    assert {name: answer[name] for name in ("space", "model", "dimensions")} == {
        name: embedded[name] for name in ("space", "model", "dimensions")
    }
    assert answer["took_ms"] >= 0
    assert answer["truncated"] is False


@respx.mock
def test_an_image_finds_the_same_in_whatever_form_it_comes(client: TestClient, vectors: dict[str, Vectors]) -> None:
    respx.get(IMAGE_URL).respond(content=PNG)
    expected = nearest(vectors, vectors["picture"])

    assert found(client, url=IMAGE_URL) == expected
    assert found(client, image=IMAGE_URL) == expected
    assert found(client, image=BASE64) == expected
    assert found(client, image=f"data:image/png;base64,{BASE64}") == expected
    uploaded = client.post("/search", files={"file": ("painting.png", PNG)}, headers=AUTHORIZED).json()
    assert [result["id"] for result in uploaded["results"]] == expected
    assert expected[0] == "picture"


def test_an_item_finds_those_nearest_to_it_but_not_itself(client: TestClient, vectors: dict[str, Vectors]) -> None:
    expected = [each for each in nearest(vectors, vectors["dogs"]) if each != "dogs"]

    assert found(client, id="dogs") == expected
    assert found(client, id="dogs", k=2) == expected[:2]


def test_a_vector_finds_the_items_nearest_to_it_whatever_its_length(
    client: TestClient, vectors: dict[str, Vectors], model: EmbeddingModel
) -> None:
    embedding = (3 * vectors["dogs"]).tolist()

    answer = search(client, embedding=embedding, space=model.space)

    assert [result["id"] for result in answer["results"]] == nearest(vectors, vectors["dogs"])
    assert answer["results"][0]["score"] == pytest.approx(1, abs=1e-5)
    assert found(client, embedding=embedding, k=1, filter={"title": "The sea"}) == ["sea"]
    assert found(client, embedding=embedding, space=None, k=1) == ["dogs"]


def test_vectors_may_be_part_of_a_mix(client: TestClient, vectors: dict[str, Vectors], model: EmbeddingModel) -> None:
    embedding = vectors["dogs"].tolist()
    queries = [{"text": SEA, "weight": 2}, {"embedding": embedding, "space": model.space, "weight": -0.5}]

    assert found(client, queries=queries) == nearest(vectors, 2 * vectors["sea"] - 0.5 * vectors["dogs"])


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        ({"embedding": [1.0] * 63}, "'embedding' has 63 numbers, the served model's vectors have 64."),
        ({"embedding": [1.0] * 65}, "'embedding' has 65 numbers, the served model's vectors have 64."),
        ({"embedding": []}, "'embedding' has 0 numbers, the served model's vectors have 64."),
        ({"embedding": [1.0] * 64, "space": ""}, "'space' is another than the served model's, which is '{space}'."),
        (
            {"embedding": [1.0] * 64, "space": "fedcba9876543210"},
            "'space' is another than the served model's, which is '{space}'.",
        ),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_a_vector_that_can_not_be_compared_is_refused(
    client: TestClient, model: EmbeddingModel, sent: dict[str, Any], detail: str
) -> None:
    for body in (sent, {"queries": [{"text": SEA}, sent]}):
        answer = client.post("/search", json=body, headers=AUTHORIZED)

        assert refused(answer) == (409, "space_mismatch")
        assert answer.json()["detail"] == detail.format(space=model.space)


def test_a_mix_leads_to_some_and_away_from_others(client: TestClient, vectors: dict[str, Vectors]) -> None:
    queries = [{"text": SEA, "weight": 2}, {"image": BASE64, "weight": -0.5}, {"id": "dogs"}]
    vector = 2 * vectors["sea"] - 0.5 * vectors["picture"] + vectors["dogs"]

    answer = search(client, queries=queries)

    assert [result["id"] for result in answer["results"]] == [
        each for each in nearest(vectors, vector) if each != "dogs"
    ]
    best = answer["results"][0]
    assert best["score"] == pytest.approx(float(vectors[best["id"]] @ vector / np.linalg.norm(vector)), abs=1e-5)


def test_away_from_something_is_the_opposite_of_near_to_it(client: TestClient) -> None:
    assert found(client, queries=[{"text": SEA, "weight": -1}])[0] == "far"


def test_a_text_and_its_opposite_leave_nothing_to_search_for(client: TestClient) -> None:
    body = {"queries": [{"text": SEA}, {"text": SEA, "weight": -1}]}

    answer = client.post("/search", json=body, headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == "The weighted queries cancel each other out."


def test_pages_follow_each_other(client: TestClient) -> None:
    pages = [found(client, query=SEA, k=2, offset=offset) for offset in (0, 2, 4)]

    assert [*pages[0], *pages[1]] == found(client, query=SEA)
    assert pages[2] == []


def test_a_lowest_score_leaves_out_what_is_below_it(client: TestClient) -> None:
    assert found(client, query=SEA, min_score=0.999) == ["sea"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"title": "Dogs"}, ["dogs"]),
        ({"title": ["Dogs", "The sea"]}, ["sea", "dogs"]),
        ({"year": {"lte": 1900}}, ["sea"]),
        ({"year": {"gte": 1840}, "title": "Dogs"}, ["dogs"]),
        ({"year": 1}, []),
    ],
)
def test_a_filter_lets_through_what_it_describes(
    client: TestClient, where: dict[str, Any], expected: list[str]
) -> None:
    assert found(client, query=SEA, filter=where) == expected


def test_a_filter_on_a_field_that_no_item_has_is_invalid(client: TestClient) -> None:
    answer = client.post("/search", json={"query": SEA, "filter": {"yaer": 1840}}, headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == "No item of the index has a field 'yaer'."


def test_an_uploaded_image_may_come_with_everything_that_json_may_have(client: TestClient) -> None:
    fields = {"k": "2", "offset": "1", "min_score": "-1", "filter": '{"title": ["Dogs", "The sea", "A picture"]}'}

    answer = client.post("/search", files={"file": ("painting.png", PNG)}, data=fields, headers=AUTHORIZED)

    assert [result["id"] for result in answer.json()["results"]] == found(
        client, image=BASE64, k=2, offset=1, filter=json.loads(fields["filter"])
    )


def test_what_may_be_left_out_may_be_null(client: TestClient) -> None:
    assert len(found(client, query=SEA, min_score=None, filter=None)) == 4


def test_a_text_that_is_too_long_is_said_to_be_cut(client: TestClient) -> None:
    assert search(client, queries=[{"text": SEA}, {"text": "a sea " * 100}])["truncated"] is True


def test_a_query_that_is_remembered_is_not_computed_again(client: TestClient) -> None:
    def stages() -> set[str]:
        answer = client.post("/search", json={"query": "asked for twice"}, headers=AUTHORIZED)
        return {stage.partition(";")[0] for stage in answer.headers["Server-Timing"].split(", ")}

    assert stages() == {"queue", "infer", "search"}
    assert stages() == {"cache", "search"}


@pytest.mark.parametrize(
    ("body", "lane"),
    [
        ({"query": "urgent words"}, 2),
        ({"queries": [{"text": "more words"}, {"id": "sea"}]}, 2),
        ({"image": base64.b64encode(as_png(painting(71, 50))).decode()}, 4),
        ({"queries": [{"text": "words again"}, {"image": base64.b64encode(as_png(painting(72, 50))).decode()}]}, 4),
    ],
)
def test_words_are_more_urgent_than_pictures(client: TestClient, body: dict[str, Any], lane: int) -> None:
    with structlog.testing.capture_logs() as lines:
        search(client, **body)

    assert [line["lane"] for line in lines if line["event"] == "request"] == [lane]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, EXACTLY_ONE),
        ({"query": SEA, "id": "sea"}, EXACTLY_ONE),
        ({"text": SEA}, EXACTLY_ONE),
        ({"query": " "}, "'query' is blank."),
        ({"query": 5}, "'query' must be a string."),
        ({"query": SEA, "limit": 5}, "'limit' is not a field of this route."),
        *(
            ({"query": SEA, "k": k}, "'k' must be a whole number from 1 to 1000.")
            for k in (0, -1, 1001, 10_000, 10**30, True, "10", 2.5, None, [10])
        ),
        *(
            ({"query": SEA, "offset": offset}, "'offset' must be a whole number from 0 to 10000.")
            for offset in (-1, 10_001, True, "0")
        ),
        ({"query": SEA, "offset": 9991}, "'offset' and 'k' together may be at most 10000."),
        *(
            ({"query": SEA, "min_score": score}, "'min_score' must be a number from -1 to 1.")
            for score in (1.1, -2, True, "0.5", float("nan"), float("inf"))
        ),
        ({"query": SEA, "filter": []}, "'filter' must be an object."),
        ({"query": SEA, "filter": "year"}, "'filter' must be an object."),
        (
            {"query": SEA, "filter": {"year": {"lt": 5}}},
            "'filter.year' must have 'gte', 'lte' or both, which are numbers or strings.",
        ),
        ({"id": ""}, "'id' must be a string of at most 512 bytes that isn't blank and has no NUL."),
        ({"id": "x" * 513}, "'id' must be a string of at most 512 bytes that isn't blank and has no NUL."),
        ({"id": "\ud800"}, "'id' must be a string of at most 512 bytes that isn't blank and has no NUL."),
        ({"id": 5}, "'id' must be a string."),
        ({"image": "not base64!"}, "The image is neither base64 nor a 'data:' URI nor an http(s) URL."),
        ({"queries": []}, "'queries' is empty."),
        ({"queries": [{"text": SEA}] * 17}, "'queries' has more than 16 items."),
        ({"queries": {"text": SEA}}, "'queries' must be a list."),
        *(
            (
                {"queries": [{"text": SEA}, query]},
                "'queries[1]' must be an object with exactly one of 'text', 'url', 'image', 'id' and 'embedding'.",
            )
            for query in ({}, {"weight": 1}, {"query": SEA}, {"text": SEA, "id": "sea"}, SEA, None)
        ),
        *(
            (
                {"queries": [{"text": SEA, "weight": weight}]},
                "'queries[0].weight' must be a finite number other than 0.",
            )
            for weight in (0, -0.0)
        ),
        *(
            ({"queries": [{"text": SEA, "weight": weight}]}, "'queries[0].weight' must be a finite number.")
            for weight in (float("nan"), float("inf"), 10**400, "1", True, None)
        ),
        ({"queries": [{"text": SEA, "k": 1}]}, "'queries[0].k' is not a field of this route."),
        ({"queries": [{"text": " "}]}, "'queries[0].text' is blank."),
        ({"query": SEA, "space": "x"}, "'space' is not a field of this route."),
        ({"query": SEA, "embedding": [1.0] * 64}, EXACTLY_ONE),
        ({"embedding": None}, "'embedding' must be a list."),
        ({"embedding": "1"}, "'embedding' must be a list."),
        ({"embedding": [0] * 64}, "'embedding' has nothing but zeros."),
        ({"embedding": [1.0] * 64, "space": 1}, "'space' must be a string."),
        *(
            ({"embedding": [number] + [1.0] * 63}, "'embedding[0]' must be a finite number.")
            for number in (float("nan"), float("-inf"), 10**400, "1", True, None, [1.0])
        ),
        ({"queries": [{"embedding": [float("nan")] * 64}]}, "'queries[0].embedding[0]' must be a finite number."),
        ({"queries": [{"text": SEA, "space": "x"}]}, "'queries[0].space' is not a field of this route."),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_search_of_the_wrong_form_is_told_what_is_wrong(client: TestClient, body: Any, detail: str) -> None:
    answer = client.post("/search", content=json.dumps(body), headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == detail


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"k": "0"}, "'k' must be a whole number from 1 to 1000."),
        ({"k": "ten"}, "'k' must be a whole number from 1 to 1000."),
        ({"k": ""}, "'k' must be a whole number from 1 to 1000."),
        ({"k": '"5"'}, "'k' must be a whole number from 1 to 1000."),
        ({"k": ["5", "6"]}, "'k' came more than once."),
        ({"min_score": "high"}, "'min_score' must be a number from -1 to 1."),
        ({"filter": "{"}, "'filter' must be an object."),
        ({"filter": "[" * 100_000}, "'filter' must be an object."),
        ({"query": SEA}, "'query' is not a field of this route."),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_form_with_wrong_fields_is_told_what_is_wrong(client: TestClient, fields: Any, detail: str) -> None:
    answer = client.post("/search", files={"file": PNG}, data=fields, headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == detail


def test_a_form_without_its_file_is_told_so(client: TestClient) -> None:
    answer = client.post("/search", files={"k": (None, "5")}, headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == "'file' is missing."


def test_a_text_of_a_form_is_read_up_to_a_limit(client: TestClient) -> None:
    fields = {"filter": '{"title": "' + "x" * 300_000 + '"}'}

    answer = client.post("/search", files={"file": PNG}, data=fields, headers=AUTHORIZED)

    assert refused(answer) == (413, "too_large")


@pytest.mark.parametrize("kind", ["text/plain", "image/png", "application/x-www-form-urlencoded"])
def test_another_content_type_is_not_taken(client: TestClient, kind: str) -> None:
    answer = client.post("/search", content=PNG, headers=AUTHORIZED | {"Content-Type": kind})

    assert refused(answer) == (415, "unsupported_media_type")


def test_a_url_that_is_not_allowed_is_forbidden(client: TestClient) -> None:
    for body in ({"url": "ftp://example.org/a.png"}, {"queries": [{"url": "ftp://example.org/a.png"}]}):
        assert refused(client.post("/search", json=body, headers=AUTHORIZED)) == (422, "url_forbidden")


def test_an_item_that_is_not_there_is_not_found(client: TestClient) -> None:
    for body in ({"id": "no such item"}, {"queries": [{"text": SEA}, {"id": "no such item"}]}):
        assert refused(client.post("/search", json=body, headers=AUTHORIZED)) == (404, "item_not_found")


def test_the_token_is_asked_for_before_anything_else(client: TestClient) -> None:
    for sent in ({"content": b"{"}, {"content": b"?", "headers": {"Content-Type": "text/plain"}}, {"json": {"k": 0}}):
        assert refused(client.post("/search", **sent)) == (401, "unauthorized")


def test_a_method_that_the_route_does_not_take_is_said_so(client: TestClient) -> None:
    assert refused(client.get("/search", headers=AUTHORIZED)) == (405, "method_not_allowed")


def test_a_service_without_an_index_has_no_such_routes(serving: Serving, make_settings: MakeSettings) -> None:
    with serving(make_settings()) as client:
        for method, path in (("POST", "/search"), ("POST", "/ingest"), ("DELETE", "/items/x")):
            assert refused(client.request(method, path)) == (404, "not_found")
            assert refused(client.request(method, path, headers=AUTHORIZED)) == (404, "not_found")
        assert not {"/search", "/ingest", "/items/{id}"} & {*client.get("/openapi.json").json()["paths"]}


def test_an_index_that_can_not_be_used_stops_the_start(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "app.search.files", None)

    with pytest.raises(IndexUnusable, match="INDEX_URL=faiss:"):
        create_app(make_settings(index_url="faiss:///nowhere"))


def test_searches_are_counted_against_the_rate_limit(
    serving: Serving, make_settings: MakeSettings, tmp_path: Path
) -> None:
    with serving(make_settings(index_url=f"faiss://{tmp_path / 'index'}", rate_limit="1/hour")) as client:
        answers = [client.post("/search", json={"query": SEA}, headers=AUTHORIZED) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 429]


def test_an_index_where_nothing_was_put_in_has_nothing_to_be_found(
    serving: Serving, make_settings: MakeSettings, tmp_path: Path
) -> None:
    with serving(make_settings(index_url=f"faiss://{tmp_path / 'index'}")) as client:
        assert found(client, query=SEA) == []
        assert found(client, query=SEA, filter={"year": 1840}) == []


def test_an_index_of_another_space_is_not_searched_and_an_error_in_the_log(
    serving: Serving, make_settings: MakeSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index_url = f"faiss://{tmp_path / 'index'}"
    store = opened(index_url)
    store.upsert([Item("old", np.eye(1, 64, dtype=np.float32)[0], {})], "fedcba9876543210")
    store.close()
    with serving(make_settings(index_url=index_url)) as client:
        answers = [client.post("/search", json=body, headers=AUTHORIZED) for body in ({"query": SEA}, {"id": "old"})]

    assert [refused(answer) for answer in answers] == [(409, "space_mismatch")] * 2
    assert "fedcba9876543210" in answers[0].json()["detail"]
    assert "fedcba9876543210" in "".join(record.message for record in caplog.records if record.levelname == "ERROR")


def test_an_index_that_does_not_answer_is_worth_another_try(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise IndexUnavailable("The index doesn't answer.")

    monkeypatch.setattr(state(client).index._store, "search", broken)

    answer = client.post("/search", json={"query": SEA}, headers=AUTHORIZED)

    assert refused(answer) == (503, "index_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_service_that_is_stopping_takes_no_searches(client: TestClient) -> None:
    state(client).embedder.state = State.DRAINING
    try:
        answer = client.post("/search", json={"query": SEA}, headers=AUTHORIZED)
    finally:
        state(client).embedder.state = State.HEALTHY

    assert refused(answer) == (503, "not_ready")


@pytest.mark.slow
def test_an_index_that_takes_longer_than_a_request_may_is_given_up(
    serving: Serving, make_settings: MakeSettings, tmp_path: Path
) -> None:
    released = threading.Event()
    with serving(make_settings(index_url=f"faiss://{tmp_path / 'index'}", request_timeout_s=0.5)) as client:
        found(client, query=SEA)  # so that the vector is there at once
        state(client).index._store.search = lambda *_: released.wait(30)
        answer = client.post("/search", json={"query": SEA}, headers=AUTHORIZED)
        released.set()

    assert refused(answer) == (504, "deadline_exceeded")


def test_while_images_are_refused_words_still_find_something(client: TestClient) -> None:
    with state(client).image_bytes.share() as take:
        take(state(client).image_bytes._left)
        words = client.post("/search", json={"query": SEA}, headers=AUTHORIZED)
        picture = client.post("/search", files={"file": PNG + bytes(70_000)}, headers=AUTHORIZED)

    assert words.status_code == 200
    assert refused(picture) == (503, "overloaded")
