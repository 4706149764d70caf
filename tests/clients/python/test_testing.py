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

from tate_embeddings_client import AsyncClient, AuthenticationError, Client, Failure, ServiceError, Timeout
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


@pytest.mark.parametrize(("method", "argument"), [("embed_texts", "a sea"), ("embed_images", URL), ("embed_image", 7)])
def test_what_a_client_refuses_a_fake_refuses(fake: Faking, method: str, argument: Any) -> None:
    with pytest.raises(TypeError):
        fake(method, argument)


def test_calls_are_remembered() -> None:
    client, twin = FakeClient(), AsyncFakeClient()

    client.embed_text("a sea")
    client.embed_images([URL])
    client.embed_mixed(["a sea"], [URL])
    assert client.health().space == client.space == twin.space == "fake"
    asyncio.run(twin.embed_text("a sea"))

    assert client.calls == [
        Call("embed_text", ("a sea",)),
        Call("embed_images", ([URL],)),
        Call("embed_mixed", (["a sea"], [URL])),
        Call("health"),
    ]
    assert twin.calls == client.calls[:1]


def kinds(base: type[ServersError]) -> list[type[ServersError]]:
    """The failures of the service that have a status."""
    return [kind for each in base.__subclasses__() for kind in (each, *kinds(each)) if hasattr(kind, "code")]


@pytest.mark.parametrize("kind", kinds(ServersError), ids=lambda kind: kind.__name__)
def test_the_client_knows_every_failure_of_the_service(kind: type[ServersError]) -> None:
    # Whoever has hung up gets to see nothing, and the client asks nothing of an index.
    elsewhere = ("not_found", "model_not_found", "method_not_allowed", "hung_up")
    of_indexes = ("item_not_found", "space_mismatch", "index_unavailable")
    if kind.code not in (*elsewhere, *of_indexes) and kind.status != 400:
        assert STATUSES.get(kind.code, 422) == kind.status
    assert (kind.code in RETRYABLE_CODES) == (kind.status in RETRYABLE_STATUSES)
