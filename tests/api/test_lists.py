"""`/embed/text`, `/embed/image`, `/embed/mixed`: each item its own vector or its own failure."""

import base64
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import respx
from app.embeddings import EmbeddingModel
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, MakeSettings, Serving
from tests.test_bad_input import refused
from tests.test_endpoints import COMMON, as_png, painting

ORIGIN = COMMON - {"embedding"}
SEEN = {"indices", "failed", "sha256", "width", "height"}
HOST = "https://media.example.org"
PAINTINGS = [painting(90, 60), painting(60, 90), painting(64, 64)]
PNGS = [as_png(each) for each in PAINTINGS]
BASE64 = [base64.b64encode(png).decode() for png in PNGS]
URLS = [f"{HOST}/{number}.png" for number in range(3)]
MIB = 2**20


@pytest.fixture
def host() -> Iterator[respx.MockRouter]:
    """A host that has the paintings, and nothing else."""
    with respx.mock(assert_all_called=False) as outside:
        for url, png in zip(URLS, PNGS, strict=True):
            outside.get(url).respond(content=png)
        outside.get(host="media.example.org").respond(404)
        yield outside


def post(client: TestClient, route: str, **sent: Any) -> Any:
    answer = client.post(route, headers=AUTHORIZED, **sent)
    assert answer.status_code == 200, answer.text
    return answer.json()


def reasons(body: Any) -> list[tuple[int, str]]:
    """Which items failed, and by which code; each says something to a person."""
    assert all(failure["detail"] for failure in body["failed"])
    return [(failure["index"], failure["code"]) for failure in body["failed"]]


def bomb() -> bytes:
    """A PNG of a few bytes that claims to be of 30,000 by 30,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_list_of_texts_gives_a_vector_for_each_in_their_order(client: TestClient, model: EmbeddingModel) -> None:
    texts = ["a stormy sea", "word " * 100, "a dog", "a stormy sea"]

    body = post(client, "/embed/text", json={"texts": texts})

    assert set(body) == ORIGIN | {"embeddings", "truncated"}
    assert np.allclose(body["embeddings"], model.embed_texts(texts), atol=1e-6)
    assert np.linalg.norm(body["embeddings"], axis=1) == pytest.approx(1, abs=1e-5)
    assert body["truncated"] == [False, True, False, False]


def test_one_text_is_answered_as_by_embed_text(client: TestClient) -> None:
    single = client.post("/embed-text", json={"query": "a dog"}, headers=AUTHORIZED).json()

    assert post(client, "/embed/text", json={"text": "a dog"}) == single


def test_one_image_is_answered_as_by_embed_image(client: TestClient, host: respx.MockRouter) -> None:
    single = client.post("/embed-image", json={"image": BASE64[0]}, headers=AUTHORIZED).json()

    assert post(client, "/embed/image", json={"image": BASE64[0]}) == single
    assert post(client, "/embed/image", json={"image": URLS[0]}) == single


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"urls": URLS}},
        {"json": {"images": [BASE64[0], URLS[1], f"data:image/png;base64,{BASE64[2]}"]}},
        {"files": [("files", (f"{number}.png", png)) for number, png in enumerate(PNGS)]},
    ],
    ids=["urls", "images", "files"],
)
def test_a_list_of_images_gives_a_vector_for_each_in_their_order(
    client: TestClient, model: EmbeddingModel, host: respx.MockRouter, sent: Any
) -> None:
    body = post(client, "/embed/image", **sent)

    assert set(body) == ORIGIN | SEEN | {"embeddings"}
    assert np.allclose(body["embeddings"], model.embed_images(PAINTINGS), atol=1e-6)
    assert (body["indices"], body["failed"]) == ([0, 1, 2], [])
    assert (body["width"], body["height"]) == ([90, 60, 64], [60, 90, 64])
    assert body["sha256"] == [hashlib.sha256(png).hexdigest() for png in PNGS]


def test_an_image_that_fails_leaves_the_others_as_they_are(
    client: TestClient, model: EmbeddingModel, host: respx.MockRouter
) -> None:
    dead = f"{HOST}/gone.png"
    not_images = [
        "http://169.254.169.254/", "no base64!", base64.b64encode(b"hello").decode(), "data:text/plain;base64,aGVsbG8=",
        "data:image/png,raw", base64.b64encode(PNGS[0][:300]).decode(), base64.b64encode(bomb()).decode(), "",
    ]  # fmt: skip

    body = post(client, "/embed/image", json={"images": [BASE64[0], dead, *not_images, URLS[2]]})

    assert body["indices"] == [0, 10]
    assert np.allclose(body["embeddings"], model.embed_images([PAINTINGS[0], PAINTINGS[2]]), atol=1e-6)
    assert reasons(body) == [
        (1, "image_not_found"), (2, "url_forbidden"), (3, "invalid_request"), (4, "not_an_image"),
        (5, "not_an_image"), (6, "invalid_request"), (7, "image_corrupt"), (8, "image_too_many_pixels"),
        (9, "invalid_request"),
    ]  # fmt: skip
    assert [failure.get("url") for failure in body["failed"]] == [dead, "http://169.254.169.254/", *[None] * 7]


def test_if_all_images_fail_the_answer_is_a_list_of_failures(client: TestClient, host: respx.MockRouter) -> None:
    body = post(client, "/embed/image", json={"urls": [f"{HOST}/gone", "ftp://example.org/a.png", "nonsense"]})

    assert [body[name] for name in ("embeddings", "indices", "sha256", "width", "height")] == [[]] * 5
    assert reasons(body) == [(0, "image_not_found"), (1, "url_forbidden"), (2, "invalid_request")]


def test_one_failed_file_leaves_the_others_as_they_are(serving: Serving, make_settings: MakeSettings) -> None:
    files = [("files", ("a", data)) for data in (PNGS[0], b"", b"x" * (len(PNGS[0]) + 1), b"hello", PNGS[0])]

    with serving(make_settings(max_image_bytes=len(PNGS[0]))) as client:
        body = post(client, "/embed/image", files=files)

    assert body["indices"] == [0, 4]
    assert reasons(body) == [(1, "invalid_request"), (2, "too_large"), (3, "not_an_image")]


def test_base64_of_an_image_over_the_limit_fails_alone(client: TestClient) -> None:
    body = post(client, "/embed/image", json={"images": ["A" * (28 * MIB), BASE64[0]]})

    assert (body["indices"], reasons(body)) == ([1], [(0, "too_large")])


@pytest.mark.slow
def test_a_list_of_256_bombs_is_a_list_of_256_failures(client: TestClient) -> None:
    bombs = [base64.b64encode(bomb() + bytes([number])).decode() for number in range(256)]

    body = post(client, "/embed/image", json={"images": bombs})

    assert {code for _, code in reasons(body)} == {"image_too_many_pixels"}
    assert len(body["failed"]) == 256
    assert client.get("/health").status_code == 200


def test_texts_and_images_come_in_one_request(
    client: TestClient, model: EmbeddingModel, host: respx.MockRouter
) -> None:
    body = post(client, "/embed/mixed", json={"texts": ["a dog", "a cat"], "urls": [URLS[0], f"{HOST}/gone", URLS[1]]})

    assert set(body) == ORIGIN | SEEN | {"text_embeddings", "image_embeddings", "truncated"}
    assert np.allclose(body["text_embeddings"], model.embed_texts(["a dog", "a cat"]), atol=1e-6)
    assert np.allclose(body["image_embeddings"], model.embed_images(PAINTINGS[:2]), atol=1e-6)
    assert (body["indices"], reasons(body)) == ([0, 2], [(1, "image_not_found")])


@pytest.mark.parametrize(
    ("sent", "texts", "images"),
    [({"texts": ["a"]}, 1, 0), ({"urls": URLS}, 0, 3), ({"texts": ["a"], "urls": []}, 1, 0)],
)
def test_an_absent_half_is_an_empty_list(
    client: TestClient, host: respx.MockRouter, sent: Any, texts: int, images: int
) -> None:
    body = post(client, "/embed/mixed", json=sent)

    assert (len(body["text_embeddings"]), len(body["image_embeddings"])) == (texts, images)


def test_an_image_that_comes_twice_is_fetched_once(client: TestClient, host: respx.MockRouter) -> None:
    body = post(client, "/embed/image", json={"urls": [URLS[0], URLS[1], URLS[0], f"{HOST}/gone", f"{HOST}/gone"]})

    assert host.calls.call_count == 3
    assert body["indices"] == [0, 1, 2]
    assert body["embeddings"][0] == body["embeddings"][2]
    assert reasons(body) == [(3, "image_not_found"), (4, "image_not_found")]


def test_a_host_that_fails_once_and_one_that_is_slow_fail_alone(client: TestClient) -> None:
    with respx.mock() as outside:
        outside.get(URLS[0]).respond(500)
        outside.get(URLS[1]).mock(side_effect=httpx.ReadTimeout)
        outside.get(URLS[2]).respond(content=PNGS[2])
        body = post(client, "/embed/image", json={"urls": URLS})

    assert (body["indices"], reasons(body)) == ([2], [(0, "image_host_failed"), (1, "image_host_timeout")])


def test_what_utf_8_can_not_hold_is_replaced_in_the_url_of_a_failure(client: TestClient) -> None:
    body = post(client, "/embed/image", content=json.dumps({"urls": ["http://\ud800"]}))

    assert body["failed"][0]["url"] == "http://?"


@pytest.mark.parametrize(
    ("route", "body", "detail"),
    [
        ("/embed/text", {}, "Send exactly one of 'texts' and 'text'."),
        ("/embed/text", {"texts": ["a"], "text": "a"}, "Send exactly one of 'texts' and 'text'."),
        ("/embed/text", {"query": "a"}, "Send exactly one of 'texts' and 'text'."),
        ("/embed/text", {"texts": []}, "'texts' is empty."),
        ("/embed/text", {"texts": "a"}, "'texts' must be a list."),
        ("/embed/text", {"texts": None}, "'texts' must be a list."),
        ("/embed/text", {"texts": ["a", ""]}, "'texts[1]' is blank."),
        ("/embed/text", {"texts": ["a", "b", "\u2003"]}, "'texts[2]' is blank."),
        ("/embed/text", {"texts": ["a", 5]}, "'texts[1]' must be a string."),
        ("/embed/text", {"texts": ["a"], "model": "b"}, "'model' is not a field of this route."),
        ("/embed/text", {"text": " "}, "'text' is blank."),
        ("/embed/text", ["a"], "The body must be a JSON object."),
        ("/embed/image", {}, "Send exactly one of 'urls', 'images' and 'image'."),
        ("/embed/image", {"urls": URLS, "images": BASE64}, "Send exactly one of 'urls', 'images' and 'image'."),
        ("/embed/image", {"urls": []}, "'urls' is empty."),
        ("/embed/image", {"images": []}, "'images' is empty."),
        ("/embed/image", {"images": [BASE64[0], 5]}, "'images[1]' must be a string."),
        ("/embed/image", {"image": 5}, "'image' must be a string."),
        ("/embed/image", {"image": "no base64!"}, "The image is neither base64 nor a 'data:' URI nor an http(s) URL."),
        ("/embed/mixed", {}, "Send 'texts', 'urls', or both."),
        ("/embed/mixed", {"texts": [], "urls": []}, "Send 'texts', 'urls', or both."),
        ("/embed/mixed", {"texts": ["a", ""]}, "'texts[1]' is blank."),
        ("/embed/mixed", {"images": BASE64}, "'images' is not a field of this route."),
    ],
    ids=str,
)
def test_a_list_request_of_the_wrong_form_is_told_why(client: TestClient, route: str, body: Any, detail: str) -> None:
    answer = client.post(route, json=body, headers=AUTHORIZED)

    assert refused(answer) == (400, "invalid_request")
    assert answer.json()["detail"] == detail


@pytest.mark.parametrize("route", ["/embed/text", "/embed/image", "/embed/mixed"])
@pytest.mark.parametrize("body", [b"", b"{", b'{"texts": ["\xff"]}', b'{"texts": ' + b"[" * 100_000])
def test_a_list_request_that_is_no_json_is_a_bad_one(client: TestClient, route: str, body: bytes) -> None:
    assert refused(client.post(route, content=body, headers=AUTHORIZED)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "sent",
    [
        {"files": [("file", ("a.png", PNGS[0]))]},
        {"files": [("files", ("a.png", PNGS[0])), ("k", ("b.png", PNGS[0]))]},
        {"content": b"nothing", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ],
    ids=["another name", "another field", "no form"],
)
def test_a_form_of_anything_but_files_is_a_bad_request(client: TestClient, sent: Any) -> None:
    headers = AUTHORIZED | sent.pop("headers", {})

    assert refused(client.post("/embed/image", **sent, headers=headers)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("route", "kind"),
    [("/embed/text", "text/plain"), ("/embed/image", "image/png"), ("/embed/mixed", "multipart/form-data")],
)
def test_another_content_type_is_not_taken(client: TestClient, route: str, kind: str) -> None:
    answer = client.post(route, content=PNGS[0], headers=AUTHORIZED | {"Content-Type": kind})

    assert refused(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("route", ["/embed/text", "/embed/image", "/embed/mixed", "/embed/nothing"])
def test_the_token_comes_first(client: TestClient, route: str) -> None:
    answer = client.post(route, content=b"{", headers={"Content-Type": "nonsense"})

    if route == "/embed/nothing":
        assert refused(answer) == (404, "not_found")
    else:
        assert refused(answer) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("route", "sent"),
    [
        ("/embed/text", {"json": {"texts": ["a"] * 4}}),
        ("/embed/text", {"json": {"texts": ["a"] * 10_000}}),
        ("/embed/image", {"json": {"urls": [URLS[0]] * 4}}),
        ("/embed/image", {"json": {"images": ["AAAA"] * 10_000}}),
        ("/embed/image", {"files": [("files", ("a.png", PNGS[0]))] * 4}),
        ("/embed/mixed", {"json": {"texts": ["a"] * 2, "urls": URLS[:2]}}),
    ],
)
def test_more_items_than_allowed_are_too_many(
    serving: Serving, make_settings: MakeSettings, host: respx.MockRouter, route: str, sent: Any
) -> None:
    with serving(make_settings(max_batch_items=3)) as client:
        answer = client.post(route, **sent, headers=AUTHORIZED)

    assert refused(answer) == (413, "too_large")
    assert not host.calls


def test_as_many_items_as_allowed_are_taken(serving: Serving, make_settings: MakeSettings) -> None:
    with serving(make_settings(max_batch_items=3)) as client:
        assert len(post(client, "/embed/text", json={"texts": ["a"] * 3})["embeddings"]) == 3
        assert post(client, "/embed/image", files=[("files", ("a.png", PNGS[0]))] * 3)["indices"] == [0, 1, 2]


def test_one_text_over_1_mib_is_too_large_for_its_list(client: TestClient) -> None:
    answer = client.post("/embed/text", json={"texts": ["a", "a" * (MIB + 1)]}, headers=AUTHORIZED)

    assert refused(answer) == (413, "too_large")


def test_a_list_longer_than_the_queue_is_not_refused(
    serving: Serving, make_settings: MakeSettings, host: respx.MockRouter
) -> None:
    texts = [f"text number {number}" for number in range(100)]

    with serving(make_settings(max_queue_items=1)) as client:
        assert len(post(client, "/embed/text", json={"texts": texts})["embeddings"]) == 100
        assert post(client, "/embed/image", json={"urls": URLS})["failed"] == []


def test_images_that_together_are_more_than_a_worker_holds_are_taken_one_after_the_other(
    serving: Serving, make_settings: MakeSettings
) -> None:
    large = io.BytesIO(PNGS[0] + bytes(3000)).getvalue()
    limit = len(large)
    with serving(make_settings(max_image_bytes=limit, max_body_bytes=1000)) as client, respx.mock() as outside:
        outside.get(host="media.example.org").respond(content=large)
        body = post(client, "/embed/image", json={"urls": [f"{HOST}/{number}" for number in range(16)]})

    assert body["failed"] == []
