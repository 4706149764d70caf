"""What is sent and what comes of it, by both clients."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tate_embeddings_client import (
    AuthenticationError,
    Client,
    Failure,
    ServiceError,
    SpaceChanged,
    UnexpectedAnswer,
    wire,
)
from tests.clients.python.conftest import ADDRESS, Caller
from tests.clients.python.service import BUSY, FAILED, SPACE, Service, files, health, problem, vector
from tests.conftest import TOKEN

URL = "https://media.example.org/artwork.jpg"
BYTES = b"\x89PNG\r\n\x1a\n\xff\x00"


def numbers(results: Any) -> list[list[float]]:
    return [list(result.vector) for result in results]


def test_a_text_comes_back_as_a_vector_and_where_it_is_from(caller: Caller, service: Service) -> None:
    found = caller.call(service, "embed_text", "a stormy sea")

    assert found.vector == tuple(vector("a stormy sea"))
    assert (found.dimensions, found.space, found.model, found.truncated) == (4, SPACE, "ViT-B-32", False)
    assert service.bodies() == [{"query": "a stormy sea"}]


def test_the_token_goes_into_the_header(caller: Caller, service: Service) -> None:
    caller.call(service, "embed_text", "a stormy sea")

    assert service.asked[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_an_image_behind_a_url_is_left_to_the_service(caller: Caller, service: Service) -> None:
    found = caller.call(service, "embed_image", URL)

    assert found.vector == tuple(vector(URL))
    assert (found.sha256, found.width, found.height) == ("0" * 64, 90, 60)
    assert service.bodies() == [{"url": URL}]


def test_an_image_in_bytes_or_in_a_file_is_the_body_itself(caller: Caller, service: Service, tmp_path: Path) -> None:
    (tmp_path / "artwork.png").write_bytes(BYTES)

    caller.call(service, "embed_image", BYTES)
    caller.call(service, "embed_image", tmp_path / "artwork.png")

    assert [request.content for request in service.asked] == [BYTES, BYTES]
    assert all(request.headers["Content-Type"].startswith("image/") for request in service.asked)


def test_texts_come_back_in_their_order(caller: Caller, service: Service) -> None:
    found = caller.call(service, "embed_texts", ["a sea", "a \ud800 lone surrogate".encode(errors="replace").decode()])

    assert numbers(found) == [vector("a sea"), vector("a ? lone surrogate")]
    assert len(service.asked) == 1


def test_a_lone_surrogate_is_left_to_the_service(caller: Caller, service: Service) -> None:
    service.next = [problem(400, "invalid_request")]

    with pytest.raises(ServiceError, match="invalid_request"):
        caller.call(service, "embed_texts", ["\ud800"])

    assert service.bodies() == [{"texts": ["\ud800"]}]


def test_more_texts_than_a_request_takes_are_sent_in_several(caller: Caller, service: Service) -> None:
    texts = [f"artwork {number}" for number in range(600)]

    found = caller.call(service, "embed_texts", texts)

    assert numbers(found) == [vector(text) for text in texts]
    assert [len(body["texts"]) for body in service.bodies()] == [256, 256, 88]


def test_images_of_every_kind_come_back_in_their_order(caller: Caller, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "artwork.png"
    path.write_bytes(b"in a file")

    found = caller.call(service, "embed_images", [path, URL, BYTES, FAILED, b"", BUSY])

    assert numbers(found[:3]) == [vector(b"in a file"), vector(URL), vector(BYTES)]
    assert found[3] == Failure(index=3, code="image_not_found", detail="It failed.", url=FAILED, retryable=False)
    assert list(found[4].vector) == vector(b"")
    assert found[5] == Failure(index=5, code="image_host_timeout", detail="It failed.", url=BUSY, retryable=True)
    assert [request.headers["Content-Type"].partition(";")[0] for request in service.asked] == [
        "application/json",
        "multipart/form-data",
    ]


def test_images_of_more_bytes_than_a_body_are_sent_in_several(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_BODY_BYTES", 10_000)
    images = [bytes([number]) * 3_000 for number in range(7)]

    found = caller.call(service, "embed_images", images)

    assert numbers(found) == [vector(image) for image in images]
    assert [len(list(files(request))) for request in service.asked] == [2, 2, 2, 1]
    assert all(len(request.content) <= 10_000 for request in service.asked)


def test_an_image_that_no_body_holds_fails_alone(
    caller: Caller, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_BODY_BYTES", 10_000)

    found = caller.call(service, "embed_images", [b"small", b"?" * 10_000, b"small too"])

    assert numbers([found[0], found[2]]) == [vector(b"small"), vector(b"small too")]
    assert (found[1].index, found[1].code, found[1].retryable) == (1, "too_large", False)


def test_a_missing_file_is_found_out_before_anything_is_sent(caller: Caller, service: Service, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        caller.call(service, "embed_images", [URL, tmp_path / "missing.png"])

    assert service.asked == []


def test_texts_and_images_go_together_where_they_are_asked_for_together(caller: Caller, service: Service) -> None:
    found = caller.call(service, "embed_mixed", ["a sea"], [FAILED, URL])

    assert numbers(found.texts) == [vector("a sea")]
    assert found.images[0].code == "image_not_found"
    assert list(found.images[1].vector) == vector(URL)
    assert service.bodies() == [{"texts": ["a sea"], "urls": [FAILED, URL]}]


@pytest.mark.parametrize(
    ("method", "arguments"), [("embed_texts", ([],)), ("embed_images", ([],)), ("embed_mixed", ())]
)
def test_nothing_is_sent_for_nothing(caller: Caller, service: Service, method: str, arguments: tuple[Any, ...]) -> None:
    caller.call(service, method, *arguments)

    assert service.asked == []


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("embed_texts", "a sea"),
        ("embed_texts", [1]),
        ("embed_images", URL),
        ("embed_images", BYTES),
        ("embed_image", 7),
    ],
)
def test_what_is_no_list_or_of_no_use_in_one_is_refused_here(
    caller: Caller, service: Service, method: str, argument: Any
) -> None:
    with pytest.raises(TypeError):
        caller.call(service, method, argument)

    assert service.asked == []


def test_health_is_told_ready_or_not(caller: Caller, service: Service) -> None:
    service.next = [httpx.Response(503, json=health(None, "loading"))]

    loading, healthy = caller.together(service, ("health",), ("health",))

    assert (loading.status, loading.ready, loading.model_loaded, loading.space) == ("loading", False, False, None)
    assert (healthy.status, healthy.ready, healthy.model_loaded, healthy.space) == ("healthy", True, True, SPACE)


def test_a_failing_proxy_is_not_taken_for_health(caller: Caller, service: Service) -> None:
    service.next = [httpx.Response(503, text="<html>")]

    with pytest.raises(ServiceError, match="503 http_503"):
        caller.call(service, "health")


def test_an_unknown_token_is_an_error_of_its_own(caller: Caller, service: Service) -> None:
    service.next = [problem(401, "unauthorized", X_Request_ID="an-id")]

    with pytest.raises(AuthenticationError) as failed:
        caller.call(service, "embed_text", "a sea")

    assert (failed.value.code, failed.value.status, failed.value.retryable) == ("unauthorized", 401, False)
    assert str(failed.value) == "401 unauthorized: It is so. (request an-id)"
    assert len(service.asked) == 1


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"code": 1}', b"\xff", b"[" * 100_000, b""])
@pytest.mark.parametrize("status", [204, 302, 404, 422, 500])
def test_a_failure_in_no_known_form_is_named_by_its_status(caller: Caller, status: int, content: bytes) -> None:
    service = Service()
    service.next = [httpx.Response(status, content=content)]

    with pytest.raises(ServiceError) as failed:
        caller.call(service, "embed_text", "a sea")

    assert (failed.value.code, failed.value.status) == (f"http_{status}", status)


GOOD = json.loads(Service()._answered(Service()._images([URL, FAILED])).content)


@pytest.mark.parametrize(
    "change",
    [
        {"embeddings": []},
        {"embeddings": None},
        {"embeddings": [[1, 2, 3]]},
        {"embeddings": [[1, 2, 3, "x"]]},
        {"embeddings": ["1234"]},
        {"dimensions": 5},
        {"indices": [1]},
        {"indices": [-2]},
        {"indices": [2]},
        {"indices": [[]]},
        {"sha256": []},
        {"failed": []},
        {"failed": [*GOOD["failed"], *GOOD["failed"]]},
        {"failed": [{**GOOD["failed"][0], "index": -1}]},
        {"failed": [{"index": 1}]},
        {"space": None},
        {"width": ["90"]},
    ],
    ids=str,
)
def test_results_that_cannot_be_placed_are_no_results(caller: Caller, change: dict[str, Any]) -> None:
    service = Service()
    service.next = [httpx.Response(200, json=GOOD | change)]

    with pytest.raises(UnexpectedAnswer):
        caller.call(service, "embed_images", [URL, FAILED])


@pytest.mark.parametrize("content", [b"<html>", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_answer_of_the_service_is_called_so(caller: Caller, content: bytes) -> None:
    service = Service()
    service.next = [httpx.Response(200, content=content, headers={"X-Request-ID": "an-id"})]

    with pytest.raises(UnexpectedAnswer) as failed:
        caller.call(service, "embed_text", "a sea")

    assert (failed.value.code, failed.value.request_id) == ("unexpected_answer", "an-id")
    assert failed.value.__context__ is None


@pytest.mark.parametrize(
    ("method", "argument"), [("embed_text", "a"), ("embed_texts", ["a"]), ("embed_image", URL), ("embed_images", [URL])]
)
def test_another_space_than_was_asked_for_is_an_error(caller: Caller, method: str, argument: Any) -> None:
    with pytest.raises(SpaceChanged) as failed:
        caller.call(Service("another"), method, argument, space=SPACE)

    assert (failed.value.expected, failed.value.found, failed.value.request_id) == (SPACE, "another", "an-id")
    assert not failed.value.retryable


def test_a_space_that_changes_between_two_calls_is_an_error(caller: Caller, service: Service) -> None:
    service.next = [service.answer, Service("another").answer]

    with pytest.raises(SpaceChanged):
        caller.together(service, ("embed_text", "a sea"), ("embed_mixed", ["a sea"], [URL]))


def test_the_space_is_the_first_one_seen(service: Service) -> None:
    with Client(ADDRESS, TOKEN, transport=httpx.MockTransport(service)) as client:
        before = client.space
        client.health()  # which says of what space the next one would be, and binds nobody
        assert (before, client.space) == (None, None)
        client.embed_text("a sea")
        assert client.space == SPACE


@pytest.mark.parametrize(
    "address",
    ["", "embeddings", "ftp://embeddings.example.org", "http://", "http://me:secret@example.org", "http://[::"],
)
def test_an_address_that_cannot_be_called_is_refused_unseen(address: str) -> None:
    with pytest.raises(ValueError, match="base_url must be") as failed:
        Client(address, TOKEN)

    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_a_time_without_end_or_beginning_is_refused(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        Client(ADDRESS, TOKEN, timeout_s=timeout_s)


def test_a_service_may_stand_below_a_path(service: Service) -> None:
    def at_its_place(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/clip/embed-text"
        request.url = request.url.copy_with(path="/embed-text")
        return service(request)

    with Client(f"{ADDRESS}/clip/", TOKEN, transport=httpx.MockTransport(at_its_place)) as client:
        assert client.embed_text("a sea").dimensions == 4


@given(st.lists(st.integers(0, 70 * 2**20), max_size=600))
def test_batches_hold_everything_once_in_order_and_within_the_limits(sizes: list[int]) -> None:
    batches = [sizes[batch] for batch in wire.batches(sizes)]

    assert [size for batch in batches for size in batch] == sizes
    assert all(0 < len(batch) <= wire.MAX_BATCH_ITEMS for batch in batches)
    assert all(wire.fits(sum(batch)) or len(batch) == 1 for batch in batches)


@given(st.lists(st.text(), max_size=20))
def test_a_body_of_texts_is_no_larger_than_was_reckoned(texts: list[str]) -> None:
    content = wire.embed_texts(texts).content

    assert content is not None
    assert len(content) <= sum(map(wire.size, texts)) + wire.AROUND_BODY
