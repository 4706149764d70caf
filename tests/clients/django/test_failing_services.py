"""What `update_embeddings` does when the service doesn't do its part: it says so, and no row is wrong."""

import threading
from collections.abc import Callable
from concurrent.futures import wait
from itertools import chain, repeat
from typing import Any

import httpx
import pytest
from django.core.management import CommandError

from tests.clients.django.conftest import artworks, update, url
from tests.clients.django.gallery.models import Artwork
from tests.clients.python.service import FAILED, SPACE, Loopback, Respond, Service, health, problem

Site = Callable[..., None]
LIST = "/embed/image"


def done() -> list[bool]:
    return [vector is not None for vector in Artwork.objects.order_by("pk").values_list("image_vector", flat=True)]


def answering_lists(service: Service, *answers: Respond, then: Respond | None = None) -> None:
    """The next lists are answered so, the rest as `then` says, and `/health` as ever."""
    left = chain(answers, repeat(service.answer) if then is None else repeat(then))
    usual = service.answer

    def answer(request: httpx.Request) -> httpx.Response:
        return next(left)(request) if request.url.path == LIST else usual(request)

    service.answer = answer  # type: ignore[method-assign]  # a service to be bent


def test_a_service_that_is_down_is_named(site: Site, free_port: int) -> None:
    site(SERVICE_URL=f"http://127.0.0.1:{free_port}")
    artworks(1)

    with pytest.raises(CommandError, match=rf"can't be reached at http://127.0.0.1:{free_port} "):
        update()

    assert done() == [False]


def test_a_service_that_goes_down_half_way_has_what_it_did_saved(
    served: Service, loopback: Callable[[Respond], Loopback], site: Site
) -> None:
    site(EMBED_TIMEOUT_S=0.5)
    artworks(4)
    answering_lists(served, served.answer, then=lambda request: problem(503, "overloaded"))

    with pytest.raises(CommandError, match="The service fails: 503 overloaded"):
        update(batch_size=2, concurrency=1)

    assert done() == [True, True, False, False]


def test_a_service_that_is_too_slow_is_told_from_one_that_is_down(
    loopback: Callable[[Respond], Loopback], site: Site
) -> None:
    released = threading.Event()

    def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path == LIST:
            released.wait(10)
        return service.answer(request)

    service = Service()
    site(SERVICE_URL=loopback(slow).address, EMBED_TIMEOUT_S=0.3)
    artworks(1)

    with pytest.raises(CommandError, match=r"too slow: no answer within EMBED_TIMEOUT_S, 0\.3 s"):
        update()
    released.set()

    assert done() == [False]


def test_a_service_that_is_overloaded_for_a_while_is_waited_for(served: Service) -> None:
    artworks(2)
    answering_lists(served, *[lambda request: problem(503, "overloaded")] * 20)

    assert "2 vectors made, 0 failed" in update()


def test_a_service_that_is_starting_is_waited_for(served: Service) -> None:
    artworks(1)
    served.next = [httpx.Response(503, json=health(None, "loading"))] * 3
    served.next += [httpx.Response(503, text="<html>no upstream")] * 3

    assert "1 vectors made" in update()


def test_a_service_that_never_is_ready_is_named(served: Service, site: Site) -> None:
    site(EMBED_TIMEOUT_S=0.2)
    served.next = [httpx.Response(503, json=health(None, "unhealthy"))] * 10_000

    with pytest.raises(CommandError, match="isn't ready: it says it is unhealthy"):
        update()


def test_a_wrong_token_is_named_and_not_shown(served: Service, site: Site) -> None:
    site(SERVICE_TOKEN="not-the-token")
    artworks(3)

    with pytest.raises(CommandError, match="doesn't know SERVICE_TOKEN") as failure:
        update(batch_size=1)

    assert "not-the-token" not in str(failure.value)
    assert done() == [False] * 3


@pytest.mark.parametrize("token", ["", "\n", "one\ntwo"])
def test_a_token_that_can_be_none_is_named(token: str, served: Service, site: Site) -> None:
    site(SERVICE_TOKEN=token)

    with pytest.raises(CommandError, match="token"):
        update()


def test_another_model_after_a_redeploy_ends_the_run_and_the_next_makes_all_of_it_anew(served: Service) -> None:
    artworks(4)
    usual = served.answer

    def redeployed(request: httpx.Request) -> httpx.Response:
        served.space = "another"
        return usual(request)

    answering_lists(served, usual, redeployed)

    with pytest.raises(CommandError, match="another model now than when this run began"):
        update(batch_size=2, concurrency=1)

    assert done() == [True, True, False, False]
    assert set(Artwork.objects.values_list("image_vector_space", flat=True)) == {SPACE, ""}
    assert "4 vectors made" in update()
    assert set(Artwork.objects.values_list("image_vector_space", flat=True)) == {"another"}


def test_what_isnt_the_service_is_told_from_it(loopback: Callable[[Respond], Loopback], site: Site) -> None:
    site(SERVICE_URL=loopback(lambda request: httpx.Response(200, text="<html>")).address)

    with pytest.raises(CommandError, match="isn't the service"):
        update()


@pytest.mark.parametrize("status", [413, 500])
def test_a_picture_that_fails_its_whole_request_fails_alone(status: int, served: Service) -> None:
    artworks(8)
    usual = served.answer

    def poisoned(request: httpx.Request) -> httpx.Response:
        return problem(status, "of_one") if url(5).encode() in request.content else usual(request)

    answering_lists(served, then=poisoned)

    with pytest.raises(CommandError, match="1 rows failed"):
        update()

    assert done() == [True] * 5 + [False] + [True] * 2
    assert Artwork.objects.get(image="5.jpg").image_vector_error == "of_one"


def test_a_picture_that_is_gone_from_its_host_fails_alone(served: Service) -> None:
    artworks(2)
    Artwork.objects.create(image=FAILED.rsplit("/", 1)[1])

    with pytest.raises(CommandError, match="1 rows failed"):
        update()

    assert done() == [True, True, False]
    assert Artwork.objects.get(image="gone.jpg").image_vector_error == "image_not_found"


def test_batches_that_had_come_back_are_saved_when_another_fails(
    served: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    artworks(2)
    usual = served.answer
    answering_lists(served, usual, lambda request: problem(422, "invalid_request"))
    monkeypatch.setattr("tate_embeddings_django.updating.wait", all_of_them)

    with pytest.raises(CommandError, match="422 invalid_request"):
        update(batch_size=1, concurrency=2)

    assert sorted(done()) == [False, True]


def all_of_them(under_way: Any, **_: Any) -> Any:
    return wait(under_way)
