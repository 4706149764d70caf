"""The routes that are open to all, and what they say in every state."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import respx
from app import __version__
from app.main import create_app
from app.serving import State
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, MakeSettings, Serving
from tests.test_endpoints import as_png, painting

SNAPSHOT = Path(__file__).parent.parent / "docs" / "openapi.json"


def test_the_banner_says_who_answers(client: TestClient) -> None:
    answer = client.get("/")

    assert answer.status_code == 200
    assert answer.json() == {
        "service": "tate-embeddings",
        "version": __version__,
        "status": "healthy",
        "model": state(client).settings.model_name,
        "pretrained": "laion2b_s34b_b79k",
        "dimensions": 64,
        "device": "cpu",
        "docs": "/docs",
    }


def test_a_browser_is_sent_on_to_the_documentation(client: TestClient) -> None:
    answer = client.get("/", headers={"Accept": "text/html,*/*;q=0.8"}, follow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (307, "/docs")


def test_health_says_what_is_loaded(client: TestClient) -> None:
    answer = client.get("/health")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "model_loaded": True,
        "text_model_loaded": True,
        "image_model_loaded": True,
        "device": "cpu",
        "engine": "openvino",
        "precision": "float32",
        "space": state(client).embedder.model.space,
    }


@pytest.mark.parametrize("word", ["loading", "draining", "unhealthy"])
def test_a_service_that_is_not_ready_says_so(client: TestClient, word: str) -> None:
    state(client).embedder.state = State(word)

    banner, health = client.get("/"), client.get("/health")

    assert (banner.status_code, banner.json()["status"]) == (503, word)
    assert (health.status_code, health.json()["status"]) == (503, word)
    assert set(banner.json()) == {
        "service", "version", "status", "model", "pretrained", "dimensions", "device", "docs"
    }  # fmt: skip


def test_before_the_model_is_loaded_its_fields_are_empty(make_settings: MakeSettings) -> None:
    client = TestClient(create_app(make_settings()))  # not started: nothing loads

    health = client.get("/health").json()

    assert (health["status"], health["model_loaded"], health["space"]) == ("loading", False, None)
    assert client.get("/").json()["dimensions"] is None


def test_a_service_that_is_not_ready_refuses_work_and_says_when_to_try_again(make_settings: MakeSettings) -> None:
    client = TestClient(create_app(make_settings()))

    for route, body in (("/embed-text", {"query": "a"}), ("/embed-image", {"url": "https://example.org/a.png"})):
        answer = client.post(route, json=body, headers=AUTHORIZED)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert int(answer.headers["Retry-After"]) > 0


def test_live_answers_whatever_the_model_does(make_settings: MakeSettings) -> None:
    answer = TestClient(create_app(make_settings())).get("/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_the_documentation_has_an_authorize_button(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    assert client.get("/docs").status_code == client.get("/redoc").status_code == 200
    assert document["components"]["securitySchemes"] == {"HTTPBearer": {"type": "http", "scheme": "bearer"}}
    assert document["paths"]["/embed-text"]["post"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in document["paths"]["/health"]["get"]


def test_every_failure_of_a_route_is_documented(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    assert set(paths["/embed-text"]["post"]["responses"]) == {
        "200", "401", "413", "415", "422", "429", "500", "503", "504"
    }  # fmt: skip
    assert set(paths["/embed-image"]["post"]["responses"]) == {
        "200", "401", "413", "415", "422", "429", "500", "502", "503", "504"
    }  # fmt: skip


@respx.mock
def test_the_examples_of_the_documentation_are_valid_requests(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    text = document["components"]["schemas"]["TextRequest"]["properties"]["query"]["examples"][0]
    images = document["paths"]["/embed-image"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    respx.get(host="upload.wikimedia.org").respond(content=as_png(painting()))

    assert client.post("/embed-text", json={"query": text}, headers=AUTHORIZED).status_code == 200
    assert set(images) == {"url", "image"}
    for example in images.values():
        assert client.post("/embed-image", json=example["value"], headers=AUTHORIZED).status_code == 200


def test_every_form_of_an_image_is_documented(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    body = document["paths"]["/embed-image"]["post"]["requestBody"]

    json_forms = [form["$ref"] for form in body["content"]["application/json"]["schema"]["oneOf"]]
    schemas = document["components"]["schemas"]
    upload = body["content"]["multipart/form-data"]["schema"]
    assert [schemas[form.rpartition("/")[2]]["required"] for form in json_forms] == [["url"], ["image"]]
    assert (upload["required"], upload["properties"]["file"]["format"]) == (["file"], "binary")
    assert body["content"]["image/*"]["schema"]["format"] == "binary"


@pytest.mark.parametrize("route", ["/docs", "/redoc", "/openapi.json"])
def test_the_documentation_can_be_switched_off(serving: Serving, make_settings: MakeSettings, route: str) -> None:
    with serving(make_settings(docs_enabled=False)) as client:
        assert client.get(route).status_code == 404
        assert client.get("/", headers={"Accept": "text/html"}).json()["docs"] is None


def test_the_api_is_the_one_that_was_agreed_on(searching: TestClient) -> None:
    """`make openapi` writes the snapshot anew after an intended change. It has the routes of an index."""
    assert searching.get("/openapi.json").json() == json.loads(SNAPSHOT.read_text())


def test_a_defect_is_answered_without_a_word_about_its_cause(client: TestClient, caplog: Any) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError("/secret/path at 0x7f00")

    state(client).embedder.model.tokenize, usual = broken, state(client).embedder.model.tokenize
    try:
        answer = client.post("/embed-text", json={"query": "a"}, headers=AUTHORIZED)
    finally:
        state(client).embedder.model.tokenize = usual

    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["X-Request-ID"]
    assert "/secret/path" in caplog.text


def state(client: TestClient) -> Any:
    """What the application works with."""
    return cast(FastAPI, client.app).state.services
