"""What callers get wrong, and what their image hosts do: each with its status and code."""

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
import respx
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, TOKEN, MakeSettings, Serving
from tests.test_endpoints import IMAGE_URL, as_png, painting

JSON = {"Content-Type": "application/json"}


def refused(answer: Any) -> tuple[int, str]:
    """A failure's status and code, after a look at its form."""
    body = answer.json()
    assert set(body) == {"detail", "code"}
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert answer.headers["X-Request-ID"]
    return answer.status_code, body["code"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": ""},
        {"query": " \t\n\u2003\u00a0"},
        {"query": None},
        {"query": 5},
        {"query": True},
        {"query": ["a"]},
        {"query": {"text": "a"}},
        {"text": "a"},
        {"query": "a", "model": "b"},
        {"query": "a", "\ud800": "b"},
        [],
        ["a"],
        "a",
        5,
        None,
    ],
    ids=repr,
)
def test_a_text_request_of_the_wrong_form_is_invalid(client: TestClient, body: Any) -> None:
    answer = client.post("/embed-text", content=json.dumps(body), headers=AUTHORIZED | JSON)

    assert refused(answer) == (422, "invalid_request")


@pytest.mark.parametrize("route", ["/embed-text", "/embed-image"])
@pytest.mark.parametrize("body", [b"", b"{", b"{'query': 'a'}", b'{"query": "a"', b"query=a", b'"', b"\x00"])
def test_a_body_that_is_not_json_is_invalid(client: TestClient, route: str, body: bytes) -> None:
    answer = client.post(route, content=body, headers=AUTHORIZED | JSON)

    assert refused(answer) == (422, "invalid_request")


@pytest.mark.parametrize("body", [b'{"query": "\xff\xfe"}', b'{"query": ' + b"[" * 100_000])
def test_a_body_that_can_not_be_read_at_all_is_invalid(client: TestClient, body: bytes) -> None:
    answer = client.post("/embed-text", content=body, headers=AUTHORIZED | JSON)

    assert refused(answer) in [(400, "invalid_request"), (422, "invalid_request")]


def test_a_body_without_a_content_type_is_taken_for_json(client: TestClient) -> None:
    assert client.post("/embed-text", content=b'{"query": "a"}', headers=AUTHORIZED).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "image/png", "nonsense"]
)
def test_another_content_type_is_not_taken(client: TestClient, kind: str) -> None:
    answer = client.post("/embed-text", content=b'{"query": "a"}', headers=AUTHORIZED | {"Content-Type": kind})

    assert refused(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/ld+json"])
def test_json_by_any_of_its_names_is_taken(client: TestClient, kind: str) -> None:
    answer = client.post("/embed-text", content=b'{"query": "a"}', headers=AUTHORIZED | {"Content-Type": kind})

    assert answer.status_code == 200


@pytest.mark.parametrize("query", ["\ud800", "a\x00b", "\u202e", "<end_of_text>", "🖼️", "%00", "ﬁ", "\N{CYCLONE}" * 9])
def test_strange_texts_are_embedded_like_any_other(client: TestClient, query: str) -> None:
    answer = client.post("/embed-text", content=json.dumps({"query": query}), headers=AUTHORIZED | JSON)

    assert answer.status_code == 200


def test_a_text_of_1_mib_is_embedded(client: TestClient) -> None:
    assert client.post("/embed-text", json={"query": "word " * 209_715}, headers=AUTHORIZED).status_code == 200


def test_a_text_over_1_mib_is_too_large(client: TestClient) -> None:
    answer = client.post("/embed-text", json={"query": "ü" * (512 * 1024 + 1)}, headers=AUTHORIZED)

    assert refused(answer) == (413, "too_large")


def test_a_body_that_claims_to_be_over_the_limit_is_not_read(serving: Serving, make_settings: MakeSettings) -> None:
    with serving(make_settings(max_body_bytes=1000)) as client:
        answer = client.post("/embed-text", content=b'{"query": "' + b"a" * 1000 + b'"}', headers=AUTHORIZED | JSON)

    assert refused(answer) == (413, "too_large")


def test_a_body_over_the_limit_is_not_read_on_whatever_it_claims(serving: Serving, make_settings: MakeSettings) -> None:
    def pieces() -> Any:
        yield from [b"a" * 400] * 3

    with serving(make_settings(max_body_bytes=1000)) as client:
        answer = client.post("/embed-text", content=pieces(), headers=AUTHORIZED | JSON)

    assert refused(answer) == (413, "too_large")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Basic {TOKEN}",
        TOKEN,
        f"Token {TOKEN}",
        f"Bearer{TOKEN}",
        f"Bearer {TOKEN},{TOKEN}",
        "Bearer " + "x" * 60_000,
        "Bearer \xff\xfe\x80",
        "Bearer tökén",
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("route", ["/embed-text", "/embed-image"])
def test_without_a_valid_token_every_answer_is_the_same(
    client: TestClient, route: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization.encode("latin-1")}

    answer = client.post(route, json={"query": "a"}, headers=headers)

    assert refused(answer) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json() == client.post(route).json()


def test_two_authorization_headers_are_no_token(client: TestClient) -> None:
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", f"Bearer {TOKEN}")]

    assert refused(client.post("/embed-text", json={"query": "a"}, headers=headers)) == (401, "unauthorized")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case(client: TestClient, scheme: str) -> None:
    answer = client.post("/embed-text", json={"query": "a"}, headers={"Authorization": f"{scheme} {TOKEN}"})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"{", "application/json"), (b"a", "text/plain"), (b"a" * 2000, "application/json"), (b"", "image/png")],
)
def test_the_token_is_asked_for_before_anything_else(
    serving: Serving, make_settings: MakeSettings, content: bytes, kind: str
) -> None:
    with serving(make_settings(max_body_bytes=1000)) as client:
        answer = client.post("/embed-text", content=content, headers={"Content-Type": kind})

    assert refused(answer) == (401, "unauthorized")


def test_a_request_without_a_token_is_answered_before_its_body_is_read(client: TestClient) -> None:
    read: list[bytes] = []

    def body() -> Any:
        read.append(b"{")
        yield b"{"

    async def receive() -> Any:
        raise AssertionError("the body was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/embed-text", "raw_path": b"/embed-text", "root_path": "",
        "query_string": b"", "headers": [(b"content-type", b"application/json")], "http_version": "1.1",
        "scheme": "http", "server": ("testserver", 80), "client": ("testclient", 1), "asgi": {"version": "3.0"},
    }  # fmt: skip
    assert client.portal is not None
    client.portal.call(client.app, scope, receive, send)

    assert sent[0]["status"] == 401


@pytest.mark.parametrize(
    ("method", "route"), [("GET", "/embed-text"), ("PUT", "/embed-image"), ("DELETE", "/health"), ("POST", "/live")]
)
def test_a_method_that_a_route_does_not_take_is_said_so(client: TestClient, method: str, route: str) -> None:
    answer = client.request(method, route, headers=AUTHORIZED)

    assert refused(answer) == (405, "method_not_allowed")
    assert answer.headers["Allow"]


@pytest.mark.parametrize("route", ["/embed", "/embed-text/x", "/metrics/x", "/search", "/..%2f"])
def test_a_route_that_is_not_there_is_said_so(client: TestClient, route: str) -> None:
    assert refused(client.post(route, headers=AUTHORIZED)) == (404, "not_found")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": None},
        {"url": 5},
        {"url": ["https://example.org/a.png"]},
        {"url": "not a url"},
        {"url": "/artwork.png"},
        {"url": "//example.org/artwork.png"},
        {"url": "example.org/artwork.png"},
        {"url": "http://"},
        {"url": "https:///artwork.png"},
        {"url": "http://[::1"},
        {"url": "http://example.org:port/"},
        {"url": "http://exa\nmple.org/"},
        {"url": "https://example.org/a.png", "query": "a"},
    ],
    ids=repr,
)
def test_an_image_request_without_a_url_is_invalid(client: TestClient, body: Any) -> None:
    assert refused(client.post("/embed-image", json=body, headers=AUTHORIZED)) == (422, "invalid_request")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/a.png",
        "gopher://example.org/",
        "http://user:password@example.org/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
    ],
)
def test_a_url_that_is_never_allowed_is_forbidden(client: TestClient, url: str) -> None:
    assert refused(client.post("/embed-image", json={"url": url}, headers=AUTHORIZED)) == (422, "url_forbidden")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, (422, "image_not_found")),
        (401, (422, "image_not_found")),
        (403, (422, "image_not_found")),
        (404, (422, "image_not_found")),
        (410, (422, "image_not_found")),
        (408, (502, "image_host_failed")),
        (425, (502, "image_host_failed")),
        (429, (502, "image_host_failed")),
        (500, (502, "image_host_failed")),
        (503, (502, "image_host_failed")),
        (204, (422, "image_unusable")),
        (206, (422, "image_unusable")),
        (304, (422, "image_unusable")),
        (302, (422, "image_unusable")),
    ],
)
@respx.mock
def test_what_the_image_host_answers_decides(client: TestClient, status: int, expected: tuple[int, str]) -> None:
    respx.get(IMAGE_URL).respond(status)

    assert refused(client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED)) == expected


def test_silent_name_servers_do_not_hold_up_other_look_ups(client: TestClient) -> None:
    all_at_once = threading.Barrier(50)

    async def look_up() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, all_at_once.wait, 10) for _ in range(50)))

    assert client.portal is not None
    client.portal.call(look_up)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (httpx.ConnectError("refused"), (502, "image_host_failed")),
        (httpx.ReadError("reset"), (502, "image_host_failed")),
        (httpx.RemoteProtocolError("nonsense"), (502, "image_host_failed")),
        (httpx.ConnectTimeout("slow"), (504, "image_host_timeout")),
        (httpx.ReadTimeout("slow"), (504, "image_host_timeout")),
    ],
    ids=lambda value: type(value).__name__,
)
@respx.mock
def test_a_failing_connection_is_the_image_hosts_failure(
    client: TestClient, failure: httpx.HTTPError, expected: tuple[int, str]
) -> None:
    respx.get(IMAGE_URL).mock(side_effect=failure)

    assert refused(client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED)) == expected


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_an_image"),
        (b"<!doctype html><title>Not found</title>", "not_an_image"),
        (b'{"error": "no such image"}', "not_an_image"),
        (b"%PDF-1.7 ...", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "unsupported_format"),
        (as_png(painting())[:-200], "image_corrupt"),
        (as_png(painting())[:60], "image_corrupt"),
    ],
)
@respx.mock
def test_what_is_no_readable_image_is_refused(client: TestClient, content: bytes, code: str) -> None:
    respx.get(IMAGE_URL).respond(content=content, headers={"Content-Type": "image/png"})

    assert refused(client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED)) == (422, code)


@respx.mock
def test_an_image_with_more_bytes_than_the_limit_is_too_large(serving: Serving, make_settings: MakeSettings) -> None:
    respx.get(IMAGE_URL).respond(content=as_png(painting()))
    with serving(make_settings(max_image_bytes=1000)) as client:
        answer = client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED)

    assert refused(answer) == (413, "too_large")


@respx.mock
def test_an_image_with_more_pixels_than_the_limit_is_not_decoded(serving: Serving, make_settings: MakeSettings) -> None:
    respx.get(IMAGE_URL).respond(content=as_png(painting()))
    with serving(make_settings(max_image_pixels=90 * 60 - 1)) as client:
        answer = client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED)

    assert refused(answer) == (422, "image_too_many_pixels")


@respx.mock
def test_an_image_that_takes_too_long_to_decode_is_given_up_and_the_service_stays_healthy(
    serving: Serving, make_settings: MakeSettings
) -> None:
    respx.get(IMAGE_URL).respond(content=as_png(painting().resize((3000, 2000))))
    with serving(make_settings(decode_timeout_s=0.001)) as client:
        for _ in range(3):
            answer = client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED)
            assert refused(answer) == (504, "decode_timeout")
        assert client.get("/health").json()["status"] == "healthy"
        assert client.post("/embed-text", json={"query": "x"}, headers=AUTHORIZED).status_code == 200
