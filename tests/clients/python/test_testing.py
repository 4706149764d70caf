"""The fakes that callers test with: as the clients, but for the service."""

import asyncio
import hashlib
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app.errors import ServiceError as ServersError
from hypothesis import given
from hypothesis import strategies as st

from tate_embeddings_client import (
    AsyncClient,
    AuthenticationError,
    Client,
    Failure,
    FieldInfo,
    IndexItem,
    Query,
    ServiceError,
    Timeout,
    ValueCount,
)
from tate_embeddings_client.errors import RETRYABLE_CODES, RETRYABLE_STATUSES
from tate_embeddings_client.testing import STATUSES, AsyncFakeClient, Call, FakeClient

GONE = "https://media.example.org/gone.jpg"
URL = "https://media.example.org/artwork.jpg"

Faking = Callable[..., Any]


@pytest.fixture(params=[FakeClient, AsyncFakeClient])
def fake(request: pytest.FixtureRequest) -> Faking:
    """Calls a method of a new fake of either kind."""

    def call(method: str, *arguments: Any, **options: Any) -> Any:
        client = request.param(**options)
        found = getattr(client, method)(*arguments)
        return asyncio.run(found) if inspect.iscoroutine(found) else found

    return call


def test_a_fake_is_a_client() -> None:
    assert isinstance(FakeClient(), Client)
    assert isinstance(AsyncFakeClient(), AsyncClient)


def test_the_same_content_has_the_same_vector(fake: Faking, tmp_path: Path) -> None:
    path = tmp_path / "artwork.png"
    path.write_bytes(b"an image")

    of_file, of_bytes, of_url = fake("embed_images", [path, b"an image", URL])

    assert of_file == of_bytes == fake("embed_image", b"an image")
    assert of_url.vector != of_bytes.vector
    assert of_bytes.sha256 == hashlib.sha256(b"an image").hexdigest()
    assert fake("embed_texts", ["a sea"]) == [fake("embed_text", "a sea")]


def test_vectors_stay_the_same_from_release_to_release() -> None:
    assert FakeClient(dimensions=3).embed_text("a sea").vector == pytest.approx(
        (0.3900036453, -0.8985054661, -0.2014574)
    )


@given(st.text(min_size=1).filter(str.strip), st.integers(1, 600))
def test_vectors_have_length_one_and_the_dimensions_asked_for(text: str, dimensions: int) -> None:
    found = FakeClient(dimensions=dimensions).embed_text(text)

    assert len(found.vector) == found.dimensions == dimensions
    assert math.hypot(*found.vector) == pytest.approx(1)


def test_items_fail_as_they_are_told_to(fake: Faking) -> None:
    failures = {GONE: "image_not_found", b"busy": "overloaded"}

    gone, fine, busy = fake("embed_images", [GONE, URL, b"busy"], failures=failures)
    mixed = fake("embed_mixed", ["a sea"], [URL, GONE], failures=failures)

    assert gone == Failure(index=0, code="image_not_found", detail=gone.detail, url=GONE, retryable=False)
    assert busy == Failure(index=2, code="overloaded", detail=busy.detail, url=None, retryable=True)
    assert not isinstance(fine, Failure)
    assert (len(mixed.texts), mixed.images[1].code) == (1, "image_not_found")


@pytest.mark.parametrize(
    ("method", "argument", "code", "status"),
    [("embed_image", GONE, "image_not_found", 422), ("embed_image", GONE, "image_host_failed", 502),
     ("embed_text", GONE, "overloaded", 503), ("embed_texts", ["a sea", GONE], "too_large", 413)],
)  # fmt: skip
def test_calls_fail_as_they_are_told_to(fake: Faking, method: str, argument: Any, code: str, status: int) -> None:
    with pytest.raises(ServiceError) as failed:
        fake(method, argument, failures={GONE: code})

    assert (failed.value.code, failed.value.status) == (code, status)


def test_an_unknown_token_can_be_faked(fake: Faking) -> None:
    with pytest.raises(AuthenticationError):
        fake("embed_text", "a sea", failures={"a sea": "unauthorized"})


def test_any_error_can_be_raised(fake: Faking) -> None:
    with pytest.raises(Timeout):
        fake("embed_images", [URL], failures={URL: Timeout("late")})


@pytest.mark.parametrize("method", ["embed_text", "embed_texts"])
def test_a_blank_text_fails_as_in_the_service(fake: Faking, method: str) -> None:
    with pytest.raises(ServiceError, match="invalid_request"):
        fake(method, " " if method == "embed_text" else ["a sea", " "])


@pytest.mark.parametrize(
    ("method", "argument"),
    [("embed_texts", "a sea"), ("embed_images", URL), ("embed_image", 7), ("search", 7), ("item", 7)],
)
def test_what_a_client_refuses_a_fake_refuses(fake: Faking, method: str, argument: Any) -> None:
    with pytest.raises(TypeError):
        fake(method, argument)


ITEMS: dict[str, dict[str, Any]] = {
    "calm": {"title": "A calm sea", "year": 1842, "tags": ["sea", "sea", 1]},
    "storm": {"title": "Snow Storm", "year": 1840.5, "tags": ["sea", "storm", True]},
    "rain": {"title": "Rain", "place": {"city": "London"}},
}


def found(client: FakeClient, query: Any, **options: Any) -> list[str]:
    return [hit.id for hit in client.search(query, **options).results]


def test_what_a_fake_holds_is_found_by_its_id_as_a_text(fake: Faking) -> None:
    results = fake("search", "storm", items=ITEMS)

    assert (results.results[0].id, results.results[0].metadata) == ("storm", ITEMS["storm"])
    assert results.results[0].score == pytest.approx(1)
    assert [hit.score for hit in results.results] == sorted((hit.score for hit in results.results), reverse=True)
    assert (results.space, results.truncated) == ("fake", False)


def test_a_fake_searches_by_images_items_and_vectors_too(tmp_path: Path) -> None:
    client, path = FakeClient(dimensions=64, items=ITEMS), tmp_path / "artwork.png"
    path.write_bytes(b"storm")
    vector = [3 * number for number in client.embed_text("storm").vector]

    queries = [Query(image=path), Query(image=b"storm"), Query(image="storm"), Query(embedding=vector)]

    assert [found(client, query, k=1) for query in queries] == [["storm"]] * 4
    assert set(found(client, Query(id="storm"))) == {"calm", "rain"}
    assert found(client, [Query(text="storm"), Query(text="rain", weight=-1)])[::2] == ["storm", "rain"]


def test_a_fake_gives_as_many_as_are_asked_for() -> None:
    client = FakeClient(items=ITEMS)
    ranked = found(client, "storm")

    assert found(client, "storm", k=1, offset=1) == ranked[1:2]
    assert found(client, "storm", min_score=0.9) == ["storm"]


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"year": 1842}, {"calm"}),
        ({"year": [1842, 1840.5]}, {"calm", "storm"}),
        ({"year": "1842"}, set()),
        ({"year": {"gte": 1841}}, {"calm"}),
        ({"year": {"gte": 1800, "lte": 1841}}, {"storm"}),
        ({"year": {"lte": "1900"}}, set()),
        ({"tags": "sea"}, {"calm", "storm"}),
        ({"tags": 1}, {"calm"}),
        ({"tags": True}, {"storm"}),
        ({"tags": "sea", "title": {"gte": "B"}}, {"storm"}),
        ({"place": "London"}, set()),
        ({}, {"calm", "storm", "rain"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_a_fake_filters_as_the_service_does(where: dict[str, Any], ids: set[str]) -> None:
    assert set(found(FakeClient(items=ITEMS), "a sea", filter=where)) == ids


@pytest.mark.parametrize(
    ("query", "code", "status"),
    [
        (" ", "invalid_request", 422),
        ([], "invalid_request", 422),
        ([Query(text="a sea"), Query(text="a sea", weight=-1)], "invalid_request", 422),
        (Query(embedding=[0.0] * 512), "invalid_request", 422),
        (Query(embedding=[1.0]), "space_mismatch", 409),
        (Query(id="gone"), "item_not_found", 404),
        (Query(id="calm"), "index_unavailable", 503),
        (Query(image=GONE), "image_host_failed", 502),
    ],
    ids=str,
)
def test_searches_fail_as_in_the_service_or_as_they_are_told_to(
    fake: Faking, query: Any, code: str, status: int
) -> None:
    failures = {"calm": "index_unavailable", GONE: "image_host_failed"}

    with pytest.raises(ServiceError) as failed:
        fake("search", query, items=ITEMS, failures=failures)

    assert (failed.value.code, failed.value.status) == (code, status)


def test_items_of_a_fake_are_looked_up(fake: Faking) -> None:
    assert fake("item", "storm", items=ITEMS) == IndexItem(id="storm", metadata=ITEMS["storm"])
    assert [item.id for item in fake("items", 2, items=ITEMS)] == ["calm", "storm"]
    with pytest.raises(ServiceError, match="404 item_not_found"):
        fake("item", "gone", items=ITEMS)


def test_the_index_of_a_fake_says_what_it_holds(fake: Faking) -> None:
    index = fake("index", items=ITEMS)

    assert (index.count, index.space, index.dimensions) == (3, "fake", 512)
    assert set(index.fields) == {"title", "year", "tags"}
    assert index.fields["year"] == FieldInfo(
        values=[ValueCount(value=1840.5, count=1), ValueCount(value=1842, count=1)],
        distinct=2,
        lowest=1840.5,
        highest=1842,
    )
    assert index.fields["tags"].values[0] == ValueCount(value="sea", count=2)
    assert (index.fields["tags"].distinct, index.fields["title"].lowest) == (4, None)


def test_a_fake_without_items_has_an_empty_index(fake: Faking) -> None:
    index = fake("index")

    assert (index.count, index.space, index.dimensions, index.fields) == (0, None, None, {})
    assert fake("search", "a sea").results == fake("items") == []


def test_calls_are_remembered() -> None:
    client, twin = FakeClient(), AsyncFakeClient()

    client.embed_text("a sea")
    client.embed_images([URL])
    client.embed_mixed(["a sea"], [URL])
    client.search("a sea")
    client.index()
    client.items()
    assert client.health().space == client.space == twin.space == "fake"
    asyncio.run(twin.embed_text("a sea"))

    assert client.calls == [
        Call("embed_text", ("a sea",)),
        Call("embed_images", ([URL],)),
        Call("embed_mixed", (["a sea"], [URL])),
        Call("search", ("a sea",)),
        Call("index"),
        Call("items", (50,)),
        Call("health"),
    ]
    assert twin.calls == client.calls[:1]


def kinds(base: type[ServersError]) -> list[type[ServersError]]:
    """The failures of the service that have a status."""
    return [kind for each in base.__subclasses__() for kind in (each, *kinds(each)) if hasattr(kind, "code")]


@pytest.mark.parametrize("kind", kinds(ServersError), ids=lambda kind: kind.__name__)
def test_the_client_knows_every_failure_of_the_service(kind: type[ServersError]) -> None:
    elsewhere = ("not_found", "model_not_found", "method_not_allowed", "hung_up")  # whoever has hung up sees nothing
    if kind.code not in elsewhere and kind.status != 400:
        assert STATUSES.get(kind.code, 422) == kind.status
    assert (kind.code in RETRYABLE_CODES) == (kind.status in RETRYABLE_STATUSES)
