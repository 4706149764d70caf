"""Searches and what is in the index: what is sent and what comes of it, by both clients."""

import asyncio
import json
import pickle
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tate_embeddings_client import (
    AsyncClient,
    Client,
    FieldInfo,
    Hit,
    IndexItem,
    Query,
    ServiceError,
    SpaceChanged,
    UnexpectedAnswer,
    ValueCount,
)
from tests.clients.python.conftest import ADDRESS, Caller, Hours
from tests.clients.python.service import MISSING, SPACE, Service, index, problem
from tests.conftest import TOKEN

URL = "https://media.example.org/artwork.jpg"
BYTES = b"\x89PNG\r\n\x1a\n\xff\x00"

HIT = {"id": "storm", "score": 1, "metadata": {}}
FOUND = json.loads(Service()._answered({"results": [HIT], "took_ms": 1, "truncated": False}).content)
INDEX = json.loads(Service()._answered(index()).content)
YEAR = INDEX["fields"]["year"]
CALLS: list[tuple[Any, ...]] = [("search", "a sea"), ("index",), ("item", "storm"), ("items",)]


def sent(service: Service) -> list[bytes]:
    """The paths that were asked for, as they went over the wire."""
    return [request.url.raw_path for request in service.asked]


def test_a_text_is_searched_for(caller: Caller, service: Service) -> None:
    found = caller.call(service, "search", "a sea")

    assert found.results == [Hit(id="storm", score=0.5, metadata={"title": "About storm"})]
    assert (found.space, found.model, found.pretrained) == (SPACE, "ViT-B-32", "laion2b_s34b_b79k")
    assert (found.took_ms, found.truncated) == (1.5, False)
    assert service.bodies() == [{"queries": [{"text": "a sea", "weight": 1.0}], "k": 10, "offset": 0}]


def test_queries_of_every_kind_go_together(caller: Caller, service: Service, tmp_path: Path) -> None:
    path = tmp_path / "artwork.png"
    path.write_bytes(b"in a file")
    queries = [
        Query(text="a sea"), Query(image=URL, weight=2), Query(image=BYTES), Query(image=path, weight=0.25),
        Query(id="storm", weight=-1), Query(embedding=[0.5, 1]),
    ]  # fmt: skip

    caller.call(service, "search", queries)

    assert service.bodies()[0]["queries"] == [
        {"text": "a sea", "weight": 1.0},
        {"url": URL, "weight": 2.0},
        {"image": b64encode(BYTES).decode(), "weight": 1.0},
        {"image": b64encode(b"in a file").decode(), "weight": 0.25},
        {"id": "storm", "weight": -1.0},
        {"embedding": [0.5, 1.0], "weight": 1.0},
    ]


def test_how_many_and_which_is_said_as_the_service_takes_it(service: Service) -> None:
    options: dict[str, Any] = {
        "k": 3,
        "offset": 6,
        "min_score": 0.0,
        "filter": {"year": {"gte": 1800}, "artist": ["Ada", "Otto"]},
    }

    async def search() -> None:
        async with AsyncClient(ADDRESS, TOKEN, transport=httpx.MockTransport(service)) as client:
            await client.search(Query(id="storm"), **options)

    with Client(ADDRESS, TOKEN, transport=httpx.MockTransport(service)) as client:
        client.search(Query(id="storm"), **options)
    asyncio.run(search())

    assert service.bodies() == [{"queries": [{"id": "storm", "weight": 1.0}], **options}] * 2


def test_a_missing_file_of_a_query_is_found_out_before_anything_is_sent(
    caller: Caller, service: Service, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        caller.call(service, "search", Query(image=tmp_path / "missing.png"))

    assert service.asked == []


@pytest.mark.parametrize("given", [{}, {"text": "a sea", "id": "storm"}, {"weight": 2.0}], ids=str)
def test_a_query_is_of_one_thing(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a text, an image, an id or an embedding"):
        Query(**given)


@pytest.mark.parametrize("given", [{"text": 7}, {"id": b"storm"}, {"image": 7}, {"embedding": 7}], ids=str)
def test_a_query_of_no_use_is_refused_when_it_is_made(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Query(**given)


def test_a_vector_of_a_query_may_be_an_array_and_is_kept_as_it_was() -> None:
    array = np.array([0.5, 1.0], np.float32)
    query = Query(embedding=array)  # type: ignore[arg-type]  # numpy calls itself no sequence
    array[0] = 9

    assert query == Query(embedding=(0.5, 1.0))
    assert pickle.loads(pickle.dumps(query)) == query


@pytest.mark.parametrize(("method", "argument"), [("search", ["a sea"]), ("search", BYTES), ("search", 7), ("item", 7)])
def test_what_is_no_query_and_no_id_is_refused_here(
    caller: Caller, service: Service, method: str, argument: Any
) -> None:
    with pytest.raises(TypeError):
        caller.call(service, method, argument)

    assert service.asked == []


def test_results_of_another_space_are_an_error(caller: Caller) -> None:
    with pytest.raises(SpaceChanged) as failed:
        caller.call(Service("another"), "search", "a sea", space=SPACE)

    assert (failed.value.expected, failed.value.found) == (SPACE, "another")


def test_a_search_binds_the_vectors_after_it_to_its_space(caller: Caller, service: Service) -> None:
    service.next = [service.answer, Service("another").answer]

    with pytest.raises(SpaceChanged):
        caller.together(service, ("search", "a sea"), ("embed_text", "a sea"))


def test_the_index_is_described(caller: Caller, service: Service) -> None:
    found = caller.call(service, "index")

    assert (found.count, found.space, found.dimensions, found.kind) == (44, SPACE, 4, "faiss")
    assert (found.model, found.pretrained) == ("ViT-B-32", "laion2b_s34b_b79k")
    assert found.fields == {
        "artist": FieldInfo(
            values=[ValueCount(value="Ada Impasto", count=41), ValueCount(value="Otto Glaze", count=3)],
            distinct=2,
            lowest=None,
            highest=None,
        ),
        "year": FieldInfo(values=[ValueCount(value=1871, count=2)], distinct=1, lowest=1871, highest=1871),
    }
    assert sent(service) == [b"/index"]


def test_an_empty_index_has_no_space_yet(caller: Caller, service: Service) -> None:
    empty: dict[str, Any] = {"count": 0, "space": None, "dimensions": None, "fields": {}}
    service.next = [httpx.Response(200, json=INDEX | empty)]

    found = caller.call(service, "index")

    assert (found.count, found.space, found.dimensions, found.fields) == (0, None, None, {})


def test_an_index_of_another_space_is_told_and_binds_nobody(service: Service) -> None:
    with Client(ADDRESS, TOKEN, space=SPACE, transport=httpx.MockTransport(Service("another"))) as client:
        assert client.index().space == "another"
        assert client.space == SPACE
    with Client(ADDRESS, TOKEN, transport=httpx.MockTransport(service)) as client:
        client.index()
        assert client.space is None


def test_some_items_are_listed(caller: Caller, service: Service) -> None:
    few, more = caller.together(service, ("items", 2), ("items",))

    assert few == [IndexItem(id=name, metadata={"title": f"About {name}"}) for name in ("0", "1")]
    assert len(more) == 50
    assert sent(service) == [b"/items?limit=2", b"/items?limit=50"]


@pytest.mark.parametrize(
    ("name", "path"),
    [("artwork-1842", b"artwork-1842"), ("a/b", b"a%2Fb"), ("a?b#c", b"a%3Fb%23c"), ("50%", b"50%25"),
     ("%2E", b"%252E"), (".", b"%2E"), ("..", b"%2E%2E"), ("...", b"..."), ("../index", b"..%2Findex"),
     ("a/../b", b"a%2F..%2Fb"), ("./", b".%2F"), (" \n+", b"%20%0A%2B"), ("\u98a8", b"%E9%A2%A8")],
)  # fmt: skip
@pytest.mark.parametrize("below", ["", "/clip"])
def test_an_item_is_asked_for_whatever_its_id(below: str, name: str, path: bytes) -> None:
    asked: list[bytes] = []

    def at_its_place(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, json={"id": name, "metadata": {"year": 1842}})

    with Client(ADDRESS + below, TOKEN, transport=httpx.MockTransport(at_its_place)) as client:
        found = client.item(name)

    assert found == IndexItem(id=name, metadata={"year": 1842})
    assert asked == [below.encode() + b"/items/" + path]


def test_an_id_that_no_path_holds_is_refused_unsent(caller: Caller, service: Service) -> None:
    with pytest.raises(UnicodeEncodeError):
        caller.call(service, "item", "\ud800")

    assert service.asked == []


def test_another_item_than_the_one_asked_for_is_no_answer(caller: Caller, service: Service) -> None:
    service.next = [httpx.Response(200, json={"id": "calm", "metadata": {}})]

    with pytest.raises(UnexpectedAnswer):
        caller.call(service, "item", "storm")


def test_an_item_that_is_not_there_is_the_services_failure(caller: Caller, service: Service) -> None:
    with pytest.raises(ServiceError) as failed:
        caller.call(service, "item", MISSING)

    assert (failed.value.code, failed.value.status, failed.value.retryable) == ("item_not_found", 404, False)
    assert len(service.asked) == 1


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_an_index_that_is_away_is_asked_again(caller: Caller, service: Service, call: tuple[Any, ...]) -> None:
    hours = Hours()
    service.next = [problem(503, "index_unavailable", Retry_After="5"), httpx.ConnectError("refused")]

    caller.call(service, *call, clock=hours.clock)

    assert hours.waits == [5.0, 1.0]
    assert len(service.asked) == 3
    assert len({(request.url, request.content) for request in service.asked}) == 1


@pytest.mark.parametrize(
    "change",
    [{"results": None}, {"results": {}}, {"results": ["storm"]}, {"results": [{**HIT, "id": 7}]},
     {"results": [{**HIT, "score": "1"}]}, {"results": [{**HIT, "score": 10**400}]},
     {"results": [{**HIT, "metadata": None}]}, {"took_ms": None}, {"space": None}, {"model": None},
     {"pretrained": 1}, {"truncated": None}],
    ids=lambda change: str(change)[:40],
)  # fmt: skip
def test_what_is_no_result_of_a_search_is_called_so(caller: Caller, service: Service, change: dict[str, Any]) -> None:
    service.next = [httpx.Response(200, json=FOUND | change)]

    with pytest.raises(UnexpectedAnswer):
        caller.call(service, "search", "a sea")


@pytest.mark.parametrize(
    "change",
    [{"count": None}, {"space": 1}, {"dimensions": "4"}, {"kind": None}, {"model": None}, {"fields": None},
     {"fields": []}, {"fields": {"year": None}}, {"fields": {"year": {**YEAR, "values": None}}},
     {"fields": {"year": {**YEAR, "values": [{"value": [], "count": 1}]}}},
     {"fields": {"year": {**YEAR, "values": [{"value": 1}]}}}, {"fields": {"year": {**YEAR, "distinct": None}}},
     {"fields": {"year": {**YEAR, "lowest": "1871"}}}],
    ids=str,
)  # fmt: skip
def test_what_describes_no_index_is_called_so(caller: Caller, service: Service, change: dict[str, Any]) -> None:
    service.next = [httpx.Response(200, json=INDEX | change)]

    with pytest.raises(UnexpectedAnswer):
        caller.call(service, "index")


@pytest.mark.parametrize("body", [None, [], {}, {"id": 7, "metadata": {}}, {"id": "storm", "metadata": []}], ids=str)
def test_what_is_no_item_is_called_so(caller: Caller, service: Service, body: Any) -> None:
    service.next = [httpx.Response(200, json=body), httpx.Response(200, json={"items": [body]})]

    for call in (("item", "storm"), ("items", 1)):
        with pytest.raises(UnexpectedAnswer):
            caller.call(service, *call)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
@pytest.mark.parametrize("content", [b"<html>", b"{}", b"[]", b"null", b"[" * 100_000])
def test_what_is_no_answer_at_all_is_called_so(
    caller: Caller, service: Service, call: tuple[Any, ...], content: bytes
) -> None:
    service.next = [httpx.Response(200, content=content, headers={"X-Request-ID": "an-id"})]

    with pytest.raises(UnexpectedAnswer) as failed:
        caller.call(service, *call)

    assert failed.value.request_id == "an-id"
