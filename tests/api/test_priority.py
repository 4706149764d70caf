"""How urgent a request is."""

from typing import Any
from unittest import mock

import pytest
from app.api.priority import urgency
from app.serving.scheduler import Scheduler
from fastapi import Request
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED


def asking(*headers: str) -> Request:
    return Request({"type": "http", "headers": [(b"priority", header.encode()) for header in headers]})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("u=0", 0),
        ("u=7", 7),
        ("u=5, i", 5),
        ("i, u=1", 1),
        ("i,u=3;a=b", 3),
        ("u=1, u=4", 4),
        ("u=8", 2),
        ("u=-1", 2),
        ("u=11", 2),
        ("u=1.5", 2),
        ("au=1", 2),
        ("u", 2),
        ("nonsense ü", 2),
        ("", 2),
    ],
)
def test_the_header_says_it_if_it_says_anything(header: str, expected: int) -> None:
    assert urgency(asking(header), 2) == expected


def test_without_a_header_it_is_the_usual_one() -> None:
    assert urgency(asking(), 6) == 6


def test_several_headers_count_as_one() -> None:
    assert urgency(asking("u=1", "i", "u=3"), 6) == 3


IMAGE = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@pytest.mark.parametrize(
    ("route", "body", "usual"),
    [
        ("/embed-text", {"query": "usual query"}, 2),
        ("/embed/text", {"text": "usual text"}, 2),
        ("/embed/text", {"texts": ["usual one", "usual two"]}, 6),
        ("/embed/mixed", {"texts": ["usual of mixed"]}, 6),
        ("/v1/embeddings", {"model": None, "input": "usual input"}, 2),
        ("/v1/embeddings", {"model": None, "input": ["usual a", "usual b"]}, 6),
        ("/embed-image", {"image": IMAGE}, 4),
        ("/embed/image", {"images": [IMAGE[:-1] + "A"]}, 6),
    ],
)
@pytest.mark.parametrize("header", [None, "u=5"])
def test_every_route_has_its_urgency_and_obeys_the_header(
    client: TestClient, route: str, body: dict[str, Any], usual: int, header: str | None
) -> None:
    seen = []
    computed = Scheduler._computed

    async def spy(self: Any, item: Any, urgency: int, **options: Any) -> Any:
        seen.append(urgency)
        return await computed(self, item, urgency, **options)

    if "model" in body:
        body = body | {"model": client.get("/").json()["model"]}
    headers = AUTHORIZED | ({"Priority": header} if header else {})
    with mock.patch.object(Scheduler, "_computed", spy), mock.patch("app.serving.cache.Cache.get", _uncached):
        answer = client.post(route, json=body, headers=headers)

    assert answer.status_code == 200, answer.text
    assert {*seen} == {5 if header else usual}


async def _uncached(_: Any, key: bytes, urgency: int, compute: Any) -> Any:
    return await compute()
