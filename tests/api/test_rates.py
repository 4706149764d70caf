"""How many requests a token may make."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from app.api import rates
from app.api.rates import Rates
from app.config import RateLimit
from app.errors import RateLimited
from app.main import create_app
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, TOKEN, MakeSettings, Serving

OTHER = "another-secret-of-the-tests"
ANSWERED = ("/embed-text", {"query": "a sea"}), ("/embed/text", {"text": "a sea"})


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass for what is counted, which has none of its own."""
    now = [1000.0]
    monkeypatch.setattr("limits.aio.storage.memory.time", SimpleNamespace(time=lambda: now[0]))
    monkeypatch.setattr(rates, "time", lambda: now[0])

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    return pass_time


async def admitted(counted: Rates, token: str = "token") -> int:
    """How many requests are let through at once."""
    for number in range(10_000):
        try:
            await counted.count(token)
        except RateLimited:
            return number
    raise AssertionError("no limit")


def test_so_many_requests_may_come_in_a_window_of_time(pass_time: Callable[[float], None]) -> None:
    async def scene() -> None:
        counted = Rates(RateLimit(600, 60))
        assert await admitted(counted) == 600
        pass_time(59)
        assert await admitted(counted) == 0
        pass_time(1)
        assert await admitted(counted) == 600

    asyncio.run(scene())


def test_after_the_time_that_a_refusal_names_a_request_is_let_through(pass_time: Callable[[float], None]) -> None:
    async def scene() -> None:
        counted = Rates(RateLimit(3, 60))
        await admitted(counted)
        pass_time(40)
        with pytest.raises(RateLimited) as refused:
            await counted.count("token")
        assert refused.value.retry_after_s == 20
        pass_time(20)
        await counted.count("token")

    asyncio.run(scene())


def test_every_token_is_counted_for_itself(pass_time: Callable[[float], None]) -> None:
    async def scene() -> None:
        counted = Rates(RateLimit(5, 60))
        assert [await admitted(counted, token) for token in ("one", "other")] == [5, 5]

    asyncio.run(scene())


@pytest.mark.parametrize(("requests", "together"), [(600, 600), (7, 4), (4, 4), (1, 1)])
def test_workers_together_keep_the_limit(pass_time: Callable[[float], None], requests: int, together: int) -> None:
    async def scene() -> None:
        shares = [Rates(RateLimit(requests, 60), workers=4) for _ in range(4)]
        counted = 0
        for _ in range(240):  # four hours, minute by minute
            counted += sum([await admitted(share) for share in shares])
            pass_time(60)
        assert counted == together * 240

    asyncio.run(scene())


def test_one_request_too_many_is_told_when_to_come_again(serving: Serving, make_settings: MakeSettings) -> None:
    with serving(make_settings(rate_limit="2/minute", auth_token=[TOKEN, OTHER])) as client:
        within = [client.post(route, json=body, headers=AUTHORIZED).status_code for route, body in ANSWERED]
        beyond = client.post("/embed-text", content=b"{", headers=AUTHORIZED)
        other = client.post("/embed-text", json={"query": "a"}, headers={"Authorization": f"Bearer {OTHER}"})
        stranger = client.post("/embed-text", json={"query": "a"})
        free = [client.get(path, headers=AUTHORIZED).status_code for path in ("/health", "/live", "/v1/models")]

    assert within == [200, 200]
    assert (beyond.status_code, beyond.json()["code"]) == (429, "rate_limited")
    assert 0 < int(beyond.headers["Retry-After"]) <= 60
    assert other.status_code == 200
    assert stranger.status_code == 401
    assert free == [200, 200, 200]


def test_openai_s_clients_are_told_in_openai_s_form(serving: Serving, make_settings: MakeSettings) -> None:
    with serving(make_settings(rate_limit="1/hour")) as client:
        answers = [client.post("/v1/embeddings", json={}, headers=AUTHORIZED) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [400, 429]
    error = answers[1].json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limited", None)
    assert int(answers[1].headers["Retry-After"]) > 60


def test_the_workers_of_a_service_share_its_limit(make_settings: MakeSettings) -> None:
    client = TestClient(create_app(make_settings(rate_limit="8/minute"), workers=4))
    statuses = [client.post("/embed-text", json={"query": "a"}, headers=AUTHORIZED).status_code for _ in range(3)]

    assert statuses == [503, 503, 429]  # it isn't started


def test_without_a_limit_nobody_is_counted(client: TestClient) -> None:
    answers = {client.post("/embed-text", json={"query": "a sea"}, headers=AUTHORIZED).status_code for _ in range(30)}

    assert answers == {200}
