"""The forms in which an image comes in: what each gives, what is wrong with one, and how much is read of it."""

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
import respx
from app.api.inline_images import image_or_url
from app.errors import InvalidRequest, TooLarge
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, MakeSettings, Serving
from tests.test_bad_input import refused
from tests.test_endpoints import IMAGE_URL, as_png, painting

MIB = 1024 * 1024
PNG = as_png(painting())
STANDARD = base64.b64encode(PNG).decode()
URL_SAFE = base64.urlsafe_b64encode(PNG).decode()
BOUNDARY = "frontier"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(content: bytes, disposition: str = 'form-data; name="file"; filename="a.png"', *headers: str) -> bytes:
    lines = [f"--{BOUNDARY}", f"Content-Disposition: {disposition}", *headers, "", ""]
    return "\r\n".join(lines).encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post(client: TestClient, sent: dict[str, Any]) -> Any:
    return client.post("/embed-image", **{**sent, "headers": AUTHORIZED | sent.get("headers", {})})


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"url": IMAGE_URL}},
        {"json": {"image": IMAGE_URL}},
        {"json": {"image": STANDARD}},
        {"json": {"image": STANDARD.rstrip("=")}},
        {"json": {"image": URL_SAFE}},
        {"json": {"image": URL_SAFE.rstrip("=")}},
        {"json": {"image": base64.encodebytes(PNG).decode()}},
        {"json": {"image": f" \r\n{STANDARD}\t\n"}},
        {"json": {"image": f"data:image/png;base64,{STANDARD}"}},
        {"json": {"image": f"DATA:text/plain;charset=utf-8;BASE64,{URL_SAFE.rstrip('=')}"}},
        {"json": {"image": f"data:;base64,{base64.encodebytes(PNG).decode()}"}},
        {"content": json.dumps({"image": STANDARD})},
        {"files": {"file": ("painting.png", PNG, "image/png")}},
        {"files": {"file": ("notes.txt", PNG, "text/plain")}},
        {"files": {"file": PNG}},
        {"content": form(part(PNG)), "headers": FORM},
        {"content": b"\r\n" + form(part(PNG, 'form-data; filename=""; name=file', "X-Nonsense: 1")), "headers": FORM},
        {"content": PNG, "headers": {"Content-Type": "image/png"}},
        {"content": PNG, "headers": {"Content-Type": "Image/JPEG; q=1"}},
        {"content": PNG, "headers": {"Content-Type": "image/*"}},
    ],
    ids=lambda sent: str(sent)[:50],
)
@respx.mock
def test_every_form_of_an_image_gives_the_same_answer(client: TestClient, sent: dict[str, Any]) -> None:
    respx.get(IMAGE_URL).respond(content=PNG)
    by_url = client.post("/embed-image", json={"url": IMAGE_URL}, headers=AUTHORIZED).json()

    answer = post(client, sent)

    assert answer.status_code == 200
    assert answer.json() == by_url
    assert answer.json()["sha256"] == hashlib.sha256(PNG).hexdigest()


@given(st.binary(min_size=1))
def test_base64_in_any_spelling_is_read(data: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes):
        text = encode(data).decode()

        assert image_or_url(text, len(data)) == image_or_url(text.replace("=", ""), len(data)) == data
        assert image_or_url(f"data:image/png;base64,{text}", len(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        "bild\N{LATIN SMALL LETTER U WITH DIAERESIS}",
        "\ud800",
        "A",
        "AAAAA",
        "AA=A",
        "AA=",
        "AAA==",
        "AAAA=",
        "====",
        "QUJD\0",
        "QUJD%3D",
        "QUJD,QUJD",
        "mailto:someone",
        "example.org/painting.jpg",
        "{}",
    ],
)
def test_what_is_no_base64_is_invalid(client: TestClient, text: str) -> None:
    answer = client.post("/embed-image", content=json.dumps({"image": text}), headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == "The image is neither base64 nor a 'data:' URI nor an http(s) URL."


@pytest.mark.parametrize(
    "uri",
    [
        "data:",
        "data:image/png",
        "data:image/png;base64",
        f"data:image/png,{STANDARD}",
        f"data:base64,{STANDARD}",
        "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'/%3E",
        f"data:image/png;base64;charset=utf-8,{STANDARD}",
    ],
)
def test_a_data_uri_without_base64_is_invalid_and_told_what_it_lacks(client: TestClient, uri: str) -> None:
    answer = client.post("/embed-image", json={"image": uri}, headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert "must hold base64" in answer.json()["detail"]


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"image": ""}},
        {"json": {"image": " \n\t"}},
        {"json": {"image": "data:image/png;base64,"}},
        {"files": {"file": ("painting.png", b"")}},
        {"content": b"", "headers": {"Content-Type": "image/png"}},
    ],
    ids=str,
)
def test_an_empty_image_is_invalid(client: TestClient, sent: dict[str, Any]) -> None:
    answer = post(client, sent)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == "The image is empty."


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "Send exactly one of 'url' and 'image'."),
        ({"query": "a"}, "Send exactly one of 'url' and 'image'."),
        ({"url": IMAGE_URL, "image": STANDARD}, "Send exactly one of 'url' and 'image'."),
        ({"image": None}, "'image' must be a string."),
        ({"image": [STANDARD]}, "'image' must be a string."),
        ({"url": 5}, "'url' must be a string."),
        ({"image": STANDARD, "model": "b"}, "'model' is not a field of this route."),
        ({"image": STANDARD, "\ud800": "b"}, "The body is not valid."),
        ([STANDARD], "The body must be a JSON object."),
        (STANDARD, "The body must be a JSON object."),
        (None, "The body must be a JSON object."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_json_that_names_no_image_is_told_why(client: TestClient, body: Any, detail: str) -> None:
    answer = client.post("/embed-image", content=json.dumps(body), headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == detail


@pytest.mark.parametrize("body", [b"", b"{", b'{"image": "\xff"}', b'{"image": ' + b"[" * 100_000])
def test_a_body_that_is_no_json_is_told_so(client: TestClient, body: bytes) -> None:
    answer = client.post("/embed-image", content=body, headers=AUTHORIZED)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == "The body is not valid JSON."


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "file:///etc/passwd", "ftp://example.org/a.png"])
def test_a_url_in_the_field_image_is_judged_like_any_other(client: TestClient, url: str) -> None:
    assert refused(client.post("/embed-image", json={"image": url}, headers=AUTHORIZED)) == (422, "url_forbidden")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (form(), "'file' is missing."),
        (form(part(PNG), part(PNG)), "'file' came more than once; send one file."),
        (form(part(b"5", 'form-data; name="k"'), part(PNG)), "'k' is not a field of this route."),
        (form(part(PNG), part(b"5", 'form-data; name="k"')), "'k' is not a field of this route."),
        (form(part(PNG, 'form-data; name="files"; filename="a.png"')), "'files' is not a field of this route."),
        (form(part(PNG, 'form-data; filename="a.png"')), "'' is not a field of this route."),
        (
            form(part(STANDARD.encode(), 'form-data; name="file"')),
            "'file' must be a file, with a file's name: curl -F file=@painting.jpg.",
        ),
    ],
)
def test_a_form_with_anything_but_one_file_is_told_why(client: TestClient, body: bytes, detail: str) -> None:
    answer = client.post("/embed-image", content=body, headers=AUTHORIZED | FORM)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == detail


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"file=painting",
        b"--another\r\n\r\n",
        form(part(PNG))[:-6],
        part(PNG)[:-100],
        part(PNG)[:30],
        form(b"--frontier\r\nno header\r\n\r\n\r\n"),
        form(part(PNG, "form-data; " + "x" * 5000)),
        form(part(PNG, 'form-data; name="file"; filename="a"', *("X-Header: 1" for _ in range(20)))),
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_malformed_form_is_invalid(client: TestClient, body: bytes) -> None:
    answer = client.post("/embed-image", content=body, headers=AUTHORIZED | FORM)

    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["detail"] == "The body is not valid multipart/form-data."


@pytest.mark.parametrize("boundary", ["", ";", "; boundary=", '; boundary=""', "; boundary=" + "x" * 1000])
def test_a_form_without_a_usable_boundary_is_invalid(client: TestClient, boundary: str) -> None:
    kind = {"Content-Type": f"multipart/form-data{boundary}"}

    answer = client.post("/embed-image", content=form(part(PNG)), headers=AUTHORIZED | kind)

    assert refused(answer) == (422, "invalid_request")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=frontier",
        "video/mp4",
        "image",
        "nonsense",
    ],
)
def test_what_comes_as_something_else_is_told_the_forms(client: TestClient, kind: str) -> None:
    answer = client.post("/embed-image", content=PNG, headers=AUTHORIZED | {"Content-Type": kind})

    assert refused(answer) == (415, "unsupported_media_type")
    for form_of_an_image in ("application/json", "multipart/form-data", "image/"):
        assert form_of_an_image in answer.json()["detail"]


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"image": base64.b64encode(b"hello").decode()}},
        {"files": {"file": ("painting.png", b"hello", "image/png")}},
        {"content": b"hello", "headers": {"Content-Type": "image/png"}},
    ],
    ids=str,
)
def test_the_bytes_decide_whether_it_is_an_image(client: TestClient, sent: dict[str, Any]) -> None:
    answer = post(client, sent)

    assert refused(answer) == (422, "not_an_image")


@pytest.fixture
def narrow(serving: Serving, make_settings: MakeSettings) -> Iterator[TestClient]:
    """A service that takes images of exactly the painting's size, and little more around them."""
    with serving(make_settings(max_image_bytes=len(PNG), max_body_bytes=2 * len(PNG))) as client:
        yield client


@pytest.mark.parametrize(
    "sent",
    [
        lambda data: {"json": {"image": base64.b64encode(data).decode()}},
        lambda data: {"json": {"image": f"data:image/png;base64,{base64.b64encode(data).decode().rstrip('=')}"}},
        lambda data: {"files": {"file": ("painting.png", data)}},
        lambda data: {"content": data, "headers": {"Content-Type": "image/png"}},
        lambda data: {"content": iter([data[:50], data[50:]]), "headers": {"Content-Type": "image/png"}},
    ],
    ids=["base64", "data URI", "file", "body", "body of unknown length"],
)
def test_an_image_of_one_byte_too_many_is_too_large(narrow: TestClient, sent: Any) -> None:
    assert post(narrow, sent(PNG)).status_code == 200
    assert refused(post(narrow, sent(PNG + b"\0"))) == (413, "too_large")


def test_base64_over_the_limit_is_not_decoded() -> None:
    with pytest.raises(TooLarge):
        image_or_url("!" * 15, 10)


def test_white_space_in_base64_counts_for_nothing() -> None:
    assert image_or_url(" " * 100 + "QUJD" + "\n" * 100, 3) == b"ABC"
    with pytest.raises(InvalidRequest):
        image_or_url("\u2003QUJD", 3)


def asked(client: TestClient, kind: str, pieces: Iterator[bytes], **headers: str) -> tuple[int, str, int]:
    """Status and code of an answer to a body that comes piece by piece, and how many pieces were taken.

    Where the pieces end, the caller hangs up.
    """
    taken = 0
    sent: list[Any] = []

    async def receive() -> Any:
        nonlocal taken
        taken += 1
        piece = next(pieces, None)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    named = {"content-type": kind, **{name.lower().replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http", "method": "POST", "path": "/embed-image", "raw_path": b"/embed-image", "root_path": "",
        "query_string": b"", "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "http_version": "1.1", "scheme": "http", "server": ("testserver", 80), "client": ("testclient", 1),
        "asgi": {"version": "3.0"},
    }  # fmt: skip
    assert client.portal is not None
    client.portal.call(client.app, scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])["code"], taken


def endless(beginning: bytes, piece: bytes = b"a" * 1000) -> Iterator[bytes]:
    yield beginning
    while True:
        yield piece


JSON, UPLOAD, RAW = "application/json", FORM["Content-Type"], "image/png"


@pytest.mark.parametrize(
    ("kind", "beginning", "pieces"),
    [
        (JSON, b'{"image": "', 33),
        (UPLOAD, part(b"")[:-2], 17),
        (UPLOAD, form(part(PNG)), 17),
        (RAW, b"", 17),
    ],
    ids=["JSON", "file", "epilogue", "body"],
)
def test_an_endless_body_is_read_up_to_its_limit(narrow: TestClient, kind: str, beginning: bytes, pieces: int) -> None:
    status, code, taken = asked(narrow, kind, endless(beginning), **AUTHORIZED)

    assert (status, code) == (413, "too_large")
    assert taken <= pieces + 2


@pytest.mark.parametrize("kind", [JSON, UPLOAD, RAW])
def test_a_body_that_claims_too_much_is_not_read(narrow: TestClient, kind: str) -> None:
    answer = asked(narrow, kind, endless(b""), **AUTHORIZED, Content_Length=str(10**12))

    assert answer == (413, "too_large", 0)


@pytest.mark.parametrize("kind", [JSON, UPLOAD, RAW])
def test_a_body_that_claims_too_little_is_counted_all_the_same(narrow: TestClient, kind: str) -> None:
    beginning = part(b"")[:-2] if kind == UPLOAD else b""

    status, code, _ = asked(narrow, kind, endless(beginning), **AUTHORIZED, Content_Length="10")

    assert (status, code) == (413, "too_large")


def test_a_form_is_read_no_further_than_its_first_fault(client: TestClient) -> None:
    answer = asked(client, UPLOAD, endless(part(b"", 'form-data; name="k"')), **AUTHORIZED)

    assert answer == (422, "invalid_request", 1)


def test_endless_headers_of_a_part_are_not_collected(client: TestClient) -> None:
    beginning = f"--{BOUNDARY}\r\nX-Header: ".encode()

    status, code, taken = asked(client, UPLOAD, endless(beginning), **AUTHORIZED)

    assert (status, code) == (422, "invalid_request")
    assert taken <= 6


@pytest.mark.parametrize("kind", [JSON, UPLOAD, RAW, "text/plain"])
def test_the_token_is_asked_for_before_a_byte_of_an_image_is_read(client: TestClient, kind: str) -> None:
    assert asked(client, kind, endless(b"")) == (401, "unauthorized", 0)


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"url": IMAGE_URL}},
        {"json": {"image": STANDARD}},
        {"files": {"file": PNG}},
        {"content": PNG, "headers": {"Content-Type": RAW}},
    ],
    ids=["URL", "base64", "file", "body"],
)
@respx.mock
def test_more_bytes_of_images_than_a_worker_may_hold_are_refused_for_now(
    narrow: TestClient, sent: dict[str, Any]
) -> None:
    respx.get(IMAGE_URL).respond(content=PNG)
    with cast(FastAPI, narrow.app).state.services.image_bytes.share() as take:
        take(8 * len(PNG) - 100)
        crowded = post(narrow, sent)
        text = narrow.post("/embed-text", json={"query": "a" * 200}, headers=AUTHORIZED)

    assert refused(crowded) == (503, "overloaded")
    assert crowded.headers["Retry-After"] == "1"
    assert text.status_code == 200
    assert post(narrow, sent).status_code == 200


def test_bytes_of_images_that_were_answered_are_held_no_longer(narrow: TestClient) -> None:
    good = {"content": PNG, "headers": {"Content-Type": RAW}}
    bad = {"content": b"?" * len(PNG), "headers": {"Content-Type": RAW}}

    statuses = [post(narrow, sent).status_code for _ in range(5) for sent in (good, bad)]

    assert statuses == [200, 422] * 5


@pytest.mark.parametrize("kind", [JSON, UPLOAD, RAW])
def test_a_caller_that_hangs_up_is_no_defect_of_ours(client: TestClient, kind: str, caplog: Any) -> None:
    status, code, _ = asked(client, kind, iter([b"--"]), **AUTHORIZED)

    assert (status, code) == (400, "invalid_request")
    assert "a defect" not in caplog.text


def test_a_large_photo_arrives_whole_in_every_form(client: TestClient) -> None:
    stream = io.BytesIO()
    Image.effect_noise((1600, 1600), 90).save(stream, "PNG")
    data = stream.getvalue()
    assert len(data) > 2 * MIB

    answers = [
        client.post("/embed-image", json={"image": base64.b64encode(data).decode()}, headers=AUTHORIZED),
        client.post("/embed-image", files={"file": data}, headers=AUTHORIZED),
        client.post("/embed-image", content=data, headers=AUTHORIZED | {"Content-Type": "image/png"}),
    ]

    assert {answer.json()["sha256"] for answer in answers} == {hashlib.sha256(data).hexdigest()}
