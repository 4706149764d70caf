"""What browsers are told: who may call, what an answer is, what a page may load."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, MakeSettings, Serving

ORIGIN = "https://www.example.org"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
ASKED = "authorization,content-type,x-request-id,priority,traceparent"
# What of a page a policy judges, by the attribute that says where it comes from.
LOADED = {"script": ("src", "script-src"), "img": ("src", "img-src"), "iframe": ("src", "frame-src")}
LINKED = {"stylesheet": "style-src", "shortcut icon": "img-src"}


@pytest.fixture(scope="module")
def shared(serving: Serving, make_settings: MakeSettings) -> Iterator[TestClient]:
    """A service whose callers' pages are of one origin."""
    with serving(make_settings(cors_origins=f"{ORIGIN}, http://localhost:3000")) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_pages_of_an_allowed_origin_may_ask_without_a_token_whether_they_may_call(
    shared: TestClient, method: str
) -> None:
    asked = PREFLIGHT | {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": ASKED}

    answer = shared.options("/embed-text", headers=asked)

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "changed",
    [{"Origin": "https://evil.example"}, {"Origin": f"{ORIGIN}.evil.example"}, {"Origin": "http://www.example.org"},
     {"Origin": "null"}, {"Access-Control-Request-Method": "PUT"}, {"Access-Control-Request-Headers": "cookie"}],
    ids=str,
)  # fmt: skip
def test_others_may_not(shared: TestClient, changed: dict[str, str]) -> None:
    answer = shared.options("/embed-text", headers=PREFLIGHT | changed)

    assert answer.status_code == 400
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ({"headers": AUTHORIZED, "json": {"query": "a sea"}}, 200),
        ({"headers": AUTHORIZED, "json": {}}, 422),
        ({}, 401),
        ({"headers": AUTHORIZED, "url": "/no-such-route"}, 404),
        ({"headers": AUTHORIZED, "method": "DELETE"}, 405),
    ],
    ids=["200", "422", "401", "404", "405"],
)
def test_an_allowed_page_may_read_every_answer_failures_too(
    shared: TestClient, call: dict[str, Any], status: int
) -> None:
    headers = {**call.get("headers", {}), "Origin": ORIGIN}

    answer = shared.request(**{"method": "POST", "url": "/embed-text", **call, "headers": headers})

    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert set(exposed) == {"X-Request-ID", "Retry-After", "Server-Timing"}


def test_a_page_of_another_origin_may_not_read_an_answer(shared: TestClient) -> None:
    answer = shared.get("/health", headers={"Origin": "https://evil.example"})

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_every_origin_may_be_allowed(serving: Serving, make_settings: MakeSettings) -> None:
    with serving(make_settings(cors_origins="*")) as client:
        assert client.options("/embed-text", headers=PREFLIGHT).headers["Access-Control-Allow-Origin"] == "*"
        assert client.get("/health", headers={"Origin": ORIGIN}).headers["Access-Control-Allow-Origin"] == "*"


def test_by_default_no_page_of_another_origin_may_call(client: TestClient) -> None:
    answers = [client.options("/embed-text", headers=PREFLIGHT), client.get("/health", headers={"Origin": ORIGIN})]

    assert answers[0].status_code == 405
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/", "/health", "/docs", "/redoc", "/openapi.json", "/embed-text", "/no-such-route"])
def test_no_answer_is_taken_for_anything_else(shared: TestClient, path: str) -> None:
    answers = shared.get(path), shared.post(path), shared.options(path, headers=PREFLIGHT)

    assert {answer.headers["X-Content-Type-Options"] for answer in answers} == {"nosniff"}


class Page(HTMLParser):
    """What a page loads, by the directive of a policy that judges it, and its scripts' and styles' own text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[tuple[str, str]] = []
        self.inline: list[tuple[str, str]] = []
        self._inside: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        assert not [name for name in given if name.startswith("on")]  # would need 'unsafe-inline'
        if tag == "link":
            self.loads.append((LINKED[given["rel"] or ""], given["href"] or ""))
        elif tag in LOADED and given.get(LOADED[tag][0]):
            self.loads.append((LOADED[tag][1], given[LOADED[tag][0]] or ""))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style") and data.strip():
            self.inline.append((f"{self._inside}-src", data))

    def handle_endtag(self, tag: str) -> None:
        self._inside = None


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_a_page_s_policy_allows_what_the_page_needs_and_forbids_the_rest(client: TestClient, path: str) -> None:
    answer = client.get(path)
    policy = {name: sources for name, *sources in map(str.split, answer.headers["Content-Security-Policy"].split(";"))}
    page = Page(answer.text)

    assert page.loads
    assert all(url in policy[kind] or (url.startswith("data:") and "data:" in policy[kind]) for kind, url in page.loads)
    for kind, text in page.inline:
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[kind] or (kind == "style-src" and "'unsafe-inline'" in policy[kind])
    assert policy["connect-src"] == ["'self'"]  # its description, and what is tried out
    assert {policy[name][0] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:"} & {*policy["script-src"]}
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_the_pages_find_the_description_below_a_proxy_s_path(client: TestClient) -> None:
    below = TestClient(client.app, root_path="/embeddings")

    for path in ("/docs", "/redoc"):
        assert "/embeddings/openapi.json" in below.get(path).text
