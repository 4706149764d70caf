"""The collection of a service somewhere else: what is asked of it, and what becomes of its failures."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from app.errors import IndexUnavailable, InvalidRequest, ItemNotFound, NotAnImage, NotReady, Overloaded, ServiceError
from app.gallery.collection import Wish
from app.gallery.there import There

from tate_embeddings_client import AsyncClient
from tate_embeddings_client.clock import Clock
from tests.clients.python.conftest import ADDRESS
from tests.clients.python.service import Service
from tests.conftest import TOKEN

HASTY = Clock(sleep_async=lambda _: asyncio.sleep(0))


def there(respond: Callable[[httpx.Request], httpx.Response]) -> There:
    """A collection behind a service in this process."""
    return There(lambda: AsyncClient(ADDRESS, TOKEN, timeout_s=30, clock=HASTY, transport=httpx.MockTransport(respond)))


def ask(collection: There, *work: Callable[[There], Awaitable[Any]]) -> list[Any]:
    """What comes of asking for one thing after the other: an answer, or a failure."""

    async def run() -> list[Any]:
        outcomes = []
        for each in work:
            try:
                outcomes.append(await each(collection))
            except ServiceError as error:
                outcomes.append(error)
        await collection.close()
        return outcomes

    return asyncio.run(run())


def refusing(status: int, code: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json={"code": code, "detail": f"A secret of {ADDRESS}."})


def search(collection: There) -> Awaitable[Any]:
    return collection.search([Wish(text="dogs")], {}, 3)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "item_not_found", ItemNotFound),
        (422, "invalid_request", InvalidRequest),
        (422, "not_an_image", NotAnImage),
        (503, "index_unavailable", IndexUnavailable),
        (503, "overloaded", Overloaded),
        (503, "not_ready", NotReady),
    ],
)
def test_what_a_visitor_can_understand_is_passed_on(status: int, code: str, kind: type[ServiceError]) -> None:
    (error,) = ask(there(refusing(status, code)), search)

    assert type(error) is kind


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "unauthorized"), (404, "not_found"), (500, "internal"), (429, "rate_limited"), (418, "tea")],
)
def test_what_only_an_operator_can_is_for_the_log(status: int, code: str) -> None:
    (error,) = ask(there(refusing(status, code)), search)

    assert type(error) is NotReady
    assert error.__cause__ is not None
    assert ADDRESS not in error.detail


@pytest.mark.parametrize(
    "respond",
    [
        lambda _: httpx.Response(200, text="<html>another service</html>"),
        lambda _: httpx.Response(200, json={"results": "none"}),
        lambda _: httpx.Response(302, headers={"Location": "https://elsewhere.example.org"}),
    ],
)
def test_what_no_such_service_would_answer_is_no_answer(respond: Any) -> None:
    (error,) = ask(there(respond), search)

    assert type(error) is NotReady


def test_a_service_that_cant_be_reached_doesnt_answer() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    (error,) = ask(there(refuse), search)

    assert type(error) is NotReady


def test_wishes_filters_and_places_are_asked_for_as_they_are() -> None:
    service = Service()
    vector = np.array([0.6, 0.8], np.float32)
    wishes = [Wish(vector=vector), Wish(item="a/b"), Wish(text="people", weight=-0.5)]

    ask(there(service), lambda collection: collection.search(wishes, {"year": {"gte": 1850}}, 49, 48))

    (body,) = service.bodies()
    assert (body["k"], body["offset"], body["filter"]) == (49, 48, {"year": {"gte": 1850}})
    assert body["queries"][0]["embedding"] == pytest.approx([0.6, 0.8])
    assert [each.get("weight", 1) for each in body["queries"]] == [1, 1, -0.5]
    assert (body["queries"][1]["id"], body["queries"][2]["text"]) == ("a/b", "people")


def test_a_service_with_another_model_is_asked_again_by_another_client() -> None:
    service = Service()

    def redeploy(_: There) -> Awaitable[Any]:
        service.space = "another"
        return asyncio.sleep(0)

    first, _, changed, after = ask(there(service), search, redeploy, search, search)

    assert type(changed) is NotReady
    assert after.items == first.items


def test_all_who_find_out_together_that_the_model_is_another_one_get_one_new_client() -> None:
    service, together, made = Service(), asyncio.Barrier(5), []

    async def answer(request: httpx.Request) -> httpx.Response:
        if service.space == "another":
            await together.wait()
        return service(request)

    def client() -> AsyncClient:
        made.append(AsyncClient(ADDRESS, TOKEN, transport=httpx.MockTransport(answer)))
        return made[-1]

    async def redeployed(collection: There) -> list[Any]:
        await search(collection)
        service.space = "another"
        return await asyncio.gather(*(search(collection) for _ in range(5)), return_exceptions=True)

    (outcomes,) = ask(There(client), redeployed)

    assert {type(outcome) for outcome in outcomes} == {NotReady}
    assert len(made) == 2


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (httpx.Response(503, json={"status": "loading"}), False),
        (httpx.Response(200, text="hello"), False),
        (httpx.ConnectError("refused"), False),
    ],
)
def test_it_is_ready_when_the_service_is(answer: Any, ready: bool) -> None:
    service = Service()
    service.next = [answer]

    assert ask(there(service), lambda collection: collection.ready()) == [ready]
    assert ask(there(Service()), lambda collection: collection.ready()) == [True]
