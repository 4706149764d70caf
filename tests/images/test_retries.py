"""What is tried again, how often, and how long is waited in between; time and chance are the test's."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest
from app.errors import ImageHostFailed, ImageHostTimeout, ImageNotFound, NotAnImage, ServiceError
from app.images.retries import TRIES, Clock, Temporary, asked_wait_s, tried

from tests.images.conftest import PUBLIC, Dialler, Names, fetch
from tests.images.hosts import Host

TODAY = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class Hours:
    """A clock that goes only while somebody waits, and chance that always says the same."""

    chance: float = 1.0
    time: float = 0.0
    waits: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds

    @property
    def clock(self) -> Clock:
        return Clock(
            now=lambda: self.time,
            date=lambda: TODAY.timestamp() + self.time,
            sleep=self.sleep,
            chance=lambda: self.chance,
        )


@pytest.fixture(autouse=True)
def _real_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.images.retries.WAITS_S", (0.25, 1.0))


def failing(*failures: Exception) -> Callable[[], Awaitable[bytes]]:
    """An attempt that fails in these ways, one after the other, and then succeeds."""
    left = list(failures)

    async def attempt() -> bytes:
        if left:
            raise left.pop(0)
        return b"picture"

    return attempt


def for_now(wait_s: float = 0.0) -> Temporary:
    return Temporary(ImageHostFailed("Not now."), wait_s)


def run(attempt: Callable[[], Awaitable[bytes]], hours: Hours, within_s: float = 15.0) -> bytes:
    return asyncio.run(tried(attempt, within_s, hours.clock))


def test_what_succeeds_is_not_tried_again() -> None:
    hours = Hours()

    assert run(failing(), hours) == b"picture"
    assert hours.waits == []


def test_what_fails_for_now_is_tried_again_after_longer_and_longer_waits() -> None:
    hours = Hours()

    assert run(failing(for_now(), for_now()), hours) == b"picture"
    assert hours.waits == [0.25, 1.0]


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.99])
def test_waits_are_anything_up_to_the_longest(chance: float) -> None:
    hours = Hours(chance)

    run(failing(for_now(), for_now()), hours)

    assert hours.waits == [0.25 * chance, 1.0 * chance]


def test_after_three_tries_the_last_failure_is_the_outcome() -> None:
    hours = Hours()

    with pytest.raises(ImageHostTimeout):
        run(failing(for_now(), for_now(), Temporary(ImageHostTimeout("Slow.")), for_now()), hours)

    assert len(hours.waits) == TRIES - 1


@pytest.mark.parametrize("failure", [ImageNotFound("404"), NotAnImage("?"), ImageHostFailed("?"), OSError()], ids=repr)
def test_what_fails_for_good_is_not_tried_again(failure: Exception) -> None:
    hours = Hours()

    with pytest.raises(type(failure)):
        run(failing(failure), hours)

    assert hours.waits == []


def test_a_host_is_given_the_time_that_it_asks_for() -> None:
    hours = Hours()

    run(failing(for_now(3.0), for_now(0.5)), hours)

    assert hours.waits == [3.0, 1.0]


@pytest.mark.parametrize("asked_s", [15.0, 16.0, 3600.0, float("inf")])
def test_a_wait_beyond_the_deadline_is_not_begun(asked_s: float) -> None:
    hours = Hours()

    with pytest.raises(ImageHostFailed):
        run(failing(for_now(asked_s)), hours)

    assert hours.waits == []


def test_the_deadline_counts_what_was_waited_before() -> None:
    hours = Hours()

    with pytest.raises(ImageHostFailed):
        run(failing(for_now(10.0), for_now(6.0)), hours)

    assert hours.waits == [10.0]


def test_a_failure_keeps_its_cause_for_the_log() -> None:
    reason = OSError("refused")
    failure = for_now(3600)
    failure.__cause__ = reason

    with pytest.raises(ServiceError) as failed:
        run(failing(failure), Hours())

    assert failed.value.__cause__ is reason


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("120", 120),
        (format_datetime(TODAY + timedelta(seconds=9), usegmt=True), 9),
        (format_datetime(TODAY - timedelta(days=9), usegmt=True), 0),
        ("Sat, 21 Nov 2026 12:00:05 GMT", 5),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("٣", 0),
        ("soon", 0),
        ("Sat, 99 Nov 2026 99:99:99 GMT", 0),
        ("Sat, 21 Nov 99999 12:00:00 GMT", 0),
    ],
)
def test_the_time_that_a_host_asks_for_is_in_seconds_or_a_date(header: str, seconds: float) -> None:
    assert asked_wait_s(header, Hours().clock) == seconds


def test_a_length_of_time_without_end_is_longer_than_any_deadline() -> None:
    assert asked_wait_s("9" * 1000, Hours().clock) > 1e9


@pytest.mark.parametrize("retry_after", ["2", format_datetime(TODAY + timedelta(seconds=2), usegmt=True)])
def test_retry_after_of_an_image_host_is_honoured(retry_after: str, host: Host) -> None:
    hours = Hours()
    host.answers["/"] = unavailable(retry_after)

    with pytest.raises(ImageHostFailed):
        fetch(host.url("/"), hours.clock)

    assert hours.waits[0] == 2.0
    assert len(host.asked) == 3


def test_retry_after_beyond_the_deadline_ends_the_fetch_at_once(host: Host) -> None:
    hours = Hours()
    host.answers["/"] = unavailable("16")

    with pytest.raises(ImageHostFailed):
        fetch(host.url("/"), hours.clock)

    assert hours.waits == []
    assert len(host.asked) == 1


def test_a_host_that_refuses_connections_is_dialled_three_times(free_port: int, dialler: Dialler) -> None:
    hours = Hours()

    with pytest.raises(ImageHostFailed):
        fetch(f"http://127.0.0.1:{free_port}/", hours.clock)

    assert dialler.dialled == [("127.0.0.1", free_port)] * 3
    assert hours.waits == [0.25, 1.0]


def test_every_try_resolves_and_judges_again(names: Names, dialler: Dialler) -> None:
    names["media.example.org"] = [PUBLIC]

    with pytest.raises(ImageHostFailed):
        fetch("http://media.example.org/", Hours().clock, allow_private_networks=False)

    assert names.asked == ["media.example.org"] * 3
    assert dialler.dialled == [(PUBLIC, 80)] * 3


def test_another_address_of_a_host_is_dialled_where_the_first_fails(host: Host, names: Names, dialler: Dialler) -> None:
    names["media.example.org"] = ["8.8.8.8", PUBLIC]
    dialler.routes[PUBLIC] = host.port
    host.answers["/"] = lambda request: request.send_error(404)

    with pytest.raises(ImageNotFound):
        fetch("http://media.example.org/", Hours().clock, allow_private_networks=False)

    assert dialler.dialled == [("8.8.8.8", 80), (PUBLIC, 80)]


def unavailable(retry_after: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(503)
        request.send_header("Retry-After", retry_after)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer
