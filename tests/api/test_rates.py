"""How many requests a token may make."""

from collections.abc import Callable

import pytest
from app.api import rates
from app.api.rates import NANOSECONDS, Rates
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
    now = [1000 * NANOSECONDS]
    monkeypatch.setattr(rates, "monotonic_ns", lambda: now[0])

    def pass_time(seconds: float) -> None:
        now[0] += int(seconds * NANOSECONDS)

    return pass_time


def admitted(counted: Rates, token: bytes = b"token") -> int:
    """How many requests are let through at once."""
    for number in range(10_000):
        try:
            counted.count(token)
        except RateLimited:
            return number
    raise AssertionError("no limit")


def asked_wait_s(counted: Rates) -> int:
    """How long a refusal says that one should wait."""
    with pytest.raises(RateLimited) as refused:
        counted.count(b"token")
    assert refused.value.retry_after_s is not None
    return refused.value.retry_after_s


def test_so_many_requests_may_come_at_once_and_no_more(pass_time: Callable[[float], None]) -> None:
    counted = Rates(RateLimit(600, 60))

    assert admitted(counted) == 600
    assert admitted(counted) == 0


def test_time_gives_requests_back_one_by_one(pass_time: Callable[[float], None]) -> None:
    counted = Rates(RateLimit(600, 60))
    admitted(counted)

    pass_time(1)
    assert admitted(counted) == 10
    pass_time(3600)
    assert admitted(counted) == 600


def test_after_the_time_that_a_refusal_names_a_request_is_let_through(pass_time: Callable[[float], None]) -> None:
    counted = Rates(RateLimit(3, 60))
    admitted(counted)

    assert asked_wait_s(counted) == 20
    pass_time(20)
    counted.count(b"token")


def test_every_token_is_counted_for_itself(pass_time: Callable[[float], None]) -> None:
    counted = Rates(RateLimit(5, 60))

    assert admitted(counted, b"one") == admitted(counted, b"other") == 5


@pytest.mark.parametrize(("requests", "workers"), [(600, 1), (600, 4), (7, 4), (1, 4)])
def test_workers_together_keep_the_limit(pass_time: Callable[[float], None], requests: int, workers: int) -> None:
    shares = [Rates(RateLimit(requests, 60), workers) for _ in range(workers)]
    for share in shares:
        admitted(share)

    counted = 0
    for _ in range(600):  # an hour
        pass_time(6)
        counted += sum(admitted(share) for share in shares)

    assert counted == pytest.approx(requests * 60, rel=0.02, abs=workers)


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
