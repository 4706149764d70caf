"""OpenAI's form: what its clients send, what they get, and how failures look to them."""

import base64
import json
from typing import Any

import numpy as np
import pytest
import respx
from app.embeddings import EmbeddingModel
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, MakeSettings, Serving
from tests.test_endpoints import IMAGE_URL, as_png, painting

PNG = as_png(painting())
BASE64 = base64.b64encode(PNG).decode()
URI = f"data:image/png;base64,{BASE64}"


@pytest.fixture
def ask(client: TestClient, small: str) -> Any:
    """Posts a request for embeddings by the served model's name."""
    return lambda **body: client.post("/v1/embeddings", json={"model": small} | body, headers=AUTHORIZED)


def vectors(answer: Any) -> Any:
    """The vectors of an answer, after a look at its form."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"object", "data", "model", "usage", "space"}
    assert body["object"] == "list"
    assert [item["index"] for item in body["data"]] == [*range(len(body["data"]))]
    assert {item["object"] for item in body["data"]} == {"embedding"}
    return np.array([item["embedding"] for item in body["data"]])


def problem(answer: Any) -> tuple[int, str, str | None]:
    """A failure's status, code and parameter, after a look at its form."""
    body = answer.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"] == ("server_error" if answer.status_code >= 500 else "invalid_request_error")
    return answer.status_code, error["code"], error["param"]


def test_a_text_is_embedded(ask: Any, model: EmbeddingModel) -> None:
    answer = ask(input="a stormy sea", user="somebody", unknown={"field": 1})

    assert np.allclose(vectors(answer), model.embed_texts(["a stormy sea"]), atol=1e-6)
    assert answer.json()["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert answer.json()["space"] == model.space


def test_a_list_mixes_texts_tokens_and_images(ask: Any, model: EmbeddingModel) -> None:
    ids = model.tokenize("a dog").ids
    with respx.mock() as outside:
        outside.get(IMAGE_URL).respond(content=PNG)
        answer = ask(input=["a dog", URI, {"image": BASE64}, ids, {"url": IMAGE_URL}, {"image": IMAGE_URL}])

    (dog,), (picture,) = model.embed_texts(["a dog"]), model.embed_images([painting()])
    assert np.allclose(vectors(answer), [dog, picture, picture, dog, picture, picture], atol=1e-6)
    assert answer.json()["usage"]["prompt_tokens"] == 2 * len(ids)


@pytest.mark.parametrize("given", [[URI], URI, {"image": BASE64}, f" {URI}", URI.replace("image/png", "")], ids=len)
def test_an_image_alone_is_embedded(ask: Any, model: EmbeddingModel, given: Any) -> None:
    assert np.allclose(vectors(ask(input=given)), model.embed_images([painting()]), atol=1e-6)


def test_a_text_may_begin_like_a_data_uri(ask: Any, model: EmbeddingModel) -> None:
    text = "data: the new oil"

    assert np.allclose(vectors(ask(input=text)), model.embed_texts([text]), atol=1e-6)


def test_token_ids_are_one_text(ask: Any, model: EmbeddingModel) -> None:
    ids = model.tokenize("a stormy sea").ids

    assert np.allclose(vectors(ask(input=ids)), model.embed_texts(["a stormy sea"]), atol=1e-6)


def test_base64_holds_the_same_numbers(ask: Any) -> None:
    floats = vectors(ask(input=["a dog", "a cat"], encoding_format="float"))

    encoded = ask(input=["a dog", "a cat"], encoding_format="base64").json()["data"]

    decoded = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in encoded]
    assert np.array_equal(decoded, floats.astype(np.float32))


def test_fewer_dimensions_are_the_first_ones_brought_to_length_1(ask: Any) -> None:
    whole, cut = vectors(ask(input="a dog")), vectors(ask(input="a dog", dimensions=8))

    assert cut.shape == (1, 8)
    assert np.allclose(cut, whole[:, :8] / np.linalg.norm(whole[:, :8]), atol=1e-6)
    assert np.allclose(vectors(ask(input="a dog", dimensions=64)), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": ""}, "input"),
        ({"input": " \u2003"}, "input"),
        ({"input": []}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": ["a", None]}, "input"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [1.5]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": {"url": IMAGE_URL, "image": BASE64}}, "input"),
        ({"input": ["a", {"image": "no base64!"}]}, "input[1]"),
        ({"input": "a", "model": 5}, "model"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": 65}, "dimensions"),
        ({"input": "a", "dimensions": "8"}, "dimensions"),
    ],
    ids=str,
)
def test_a_request_of_the_wrong_form_names_the_parameter(ask: Any, body: Any, param: str) -> None:
    assert problem(ask(**body)) == (400, "invalid_request", param)


def test_a_request_without_a_model_is_told_so(client: TestClient) -> None:
    answer = client.post("/v1/embeddings", json={"input": "a"}, headers=AUTHORIZED)

    assert problem(answer) == (400, "invalid_request", "model")


def test_another_model_is_not_found(ask: Any) -> None:
    assert problem(ask(input="a", model="text-embedding-3-small")) == (404, "model_not_found", "model")


@pytest.mark.parametrize(
    ("item", "status", "code"),
    [
        ({"url": "http://169.254.169.254/"}, 422, "url_forbidden"),
        ({"image": base64.b64encode(b"hello").decode()}, 422, "not_an_image"),
        ("data:text/plain;base64,aGVsbG8=", 422, "not_an_image"),
        ({"url": "nonsense"}, 400, "invalid_request"),
        ({"image": "A" * (28 * 2**20)}, 413, "too_large"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_image_that_fails_fails_its_request_and_is_named(ask: Any, item: Any, status: int, code: str) -> None:
    assert problem(ask(input=["a dog", item, URI])) == (status, code, "input[1]")


def test_an_image_host_that_fails_is_a_server_error(ask: Any) -> None:
    with respx.mock() as outside:
        outside.get(IMAGE_URL).respond(500)
        assert problem(ask(input={"url": IMAGE_URL})) == (502, "image_host_failed", "input")


def test_as_many_inputs_as_openai_takes_are_taken(serving: Serving, make_settings: MakeSettings, small: str) -> None:
    def ask(count: int) -> Any:
        return client.post("/v1/embeddings", json={"model": small, "input": ["a"] * count}, headers=AUTHORIZED)

    with serving(make_settings(max_batch_items=1)) as client:
        assert len(vectors(ask(2048))) == 2048
        assert problem(ask(2049)) == (413, "too_large", None)


def test_images_count_as_on_the_list_routes(serving: Serving, make_settings: MakeSettings, small: str) -> None:
    def ask(*items: Any) -> Any:
        return client.post("/v1/embeddings", json={"model": small, "input": items}, headers=AUTHORIZED)

    with serving(make_settings(max_batch_items=2)) as client:
        assert len(vectors(ask(URI, "a", {"image": BASE64}, "a"))) == 4
        assert problem(ask(URI, URI, {"image": BASE64})) == (413, "too_large", None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"input": "\xff"}', b'{"input": ' + b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_bad_request(client: TestClient, content: bytes) -> None:
    answer = client.post("/v1/embeddings", content=content, headers=AUTHORIZED)

    assert problem(answer) == (400, "invalid_request", None)


def test_what_utf_8_can_not_hold_can_be_asked_for(client: TestClient) -> None:
    body = json.dumps({"input": "a", "model": "\ud800"})

    assert problem(client.post("/v1/embeddings", content=body, headers=AUTHORIZED))[0] == 404


def test_the_served_model_is_listed(client: TestClient, small: str) -> None:
    body = client.get("/v1/models", headers=AUTHORIZED).json()

    (listed,) = body["data"]
    assert (body["object"], listed["id"], listed["object"]) == ("list", small, "model")
    assert set(listed) == {"id", "object", "created", "owned_by"}


@pytest.mark.parametrize(
    ("method", "route", "status", "code"),
    [
        ("POST", "/v1/embeddings", 401, "unauthorized"),
        ("GET", "/v1/models", 401, "unauthorized"),
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
    ],
)
def test_every_failure_below_v1_has_the_form_of_openai(
    client: TestClient, method: str, route: str, status: int, code: str
) -> None:
    answer = client.request(method, route, content=b"{", headers={"Content-Type": "nonsense"})

    assert problem(answer) == (status, code, None)
    assert answer.headers["X-Request-ID"]
    assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)


def test_a_defect_has_the_form_of_openai_too(ask: Any, model: EmbeddingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(model, "tokenize", broken)
    answer = ask(input="a")

    assert problem(answer) == (500, "internal", None)
    assert "secret" not in answer.text


def test_another_content_type_is_not_taken(client: TestClient) -> None:
    answer = client.post("/v1/embeddings", content=b"input=a", headers=AUTHORIZED | {"Content-Type": "text/plain"})

    assert problem(answer) == (415, "unsupported_media_type", None)
