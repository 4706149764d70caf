"""What is tried again, how often, and how long is waited in between; time and chance are the test's."""

import pickle
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from tate_embeddings_client import (
    AuthenticationError,
    ConnectionFailed,
    EmbeddingsError,
    ServiceError,
    SpaceChanged,
    Timeout,
    UnexpectedAnswer,
)
from tate_embeddings_client.calls import WAITS_S
from tate_embeddings_client.clock import Deadline, asked_wait_s
from tests.clients.python.conftest import TODAY, Caller, Hours
from tests.clients.python.service import Service, problem, vector

TRIES = len(WAITS_S) + 1
IN_9_S = format_datetime(TODAY + timedelta(seconds=9), usegmt=True)


@pytest.mark.parametrize(
    "failure",
    [problem(429, "rate_limited"), problem(502, "image_host_failed"), problem(503, "overloaded"),
     problem(504, "deadline_exceeded"), httpx.Response(502, text="<html>"), httpx.ConnectError("refused"),
     httpx.ConnectTimeout("slow"), httpx.RemoteProtocolError("Server disconnected"), httpx.ReadError("reset")],
    ids=str,
)  # fmt: skip
def test_what_may_pass_is_tried_again(caller: Caller, failure: httpx.Response | Exception) -> None:
    service, hours = Service(), Hours()
    service.next = [failure, failure]

    found = caller.call(service, "embed_text", "a sea", clock=hours.clock)

    assert list(found.vector) == vector("a sea")
    assert hours.waits == [0.5, 1.0]


@pytest.mark.parametrize("status", [400, 401, 404, 405, 413, 415, 422, 500, 501])
def test_what_will_not_pass_is_not_tried_again(caller: Caller, status: int) -> None:
    service, hours = Service(), Hours()
    service.next = [problem(status, "some")]

    with pytest.raises(ServiceError) as failed:
        caller.call(service, "embed_text", "a sea", clock=hours.clock)

    assert not failed.value.retryable
    assert len(service.asked) == 1


def test_the_same_is_sent_each_time(caller: Caller, service: Service) -> None:
    service.next = [problem(503, "overloaded"), problem(503, "overloaded")]

    caller.call(service, "embed_image", b"an image", clock=Hours().clock)

    assert [request.content for request in service.asked] == [b"an image"] * 3


def test_after_the_last_try_the_last_failure_is_raised(caller: Caller, service: Service) -> None:
    hours = Hours()
    service.next = [*[httpx.ConnectError("refused")] * (TRIES - 1), problem(502, "image_host_failed")]

    with pytest.raises(ServiceError, match="image_host_failed") as failed:
        caller.call(service, "embed_text", "a sea", clock=hours.clock)

    assert failed.value.retryable
    assert hours.waits == list(WAITS_S)
    assert len(service.asked) == TRIES


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.99])
def test_waits_are_anything_up_to_the_longest(caller: Caller, service: Service, chance: float) -> None:
    hours = Hours(chance)
    service.next = [problem(503, "overloaded")] * (TRIES - 1)

    caller.call(service, "embed_text", "a sea", clock=hours.clock)

    assert hours.waits == [chance * wait for wait in WAITS_S]


@pytest.mark.parametrize(("retry_after", "wait_s"), [("7", 7.0), (IN_9_S, 9.0), ("0", 0.5), ("soon", 0.5)])
def test_the_service_is_given_the_time_that_it_asks_for(
    caller: Caller, service: Service, retry_after: str, wait_s: float
) -> None:
    hours = Hours()
    service.next = [problem(429, "rate_limited", Retry_After=retry_after)]

    caller.call(service, "embed_text", "a sea", clock=hours.clock)

    assert hours.waits == [wait_s]


@pytest.mark.parametrize("retry_after", ["30", "3600", "9" * 400])
def test_a_wait_to_the_deadline_or_beyond_is_not_begun(caller: Caller, service: Service, retry_after: str) -> None:
    hours = Hours()
    service.next = [problem(503, "not_ready", Retry_After=retry_after)]

    with pytest.raises(ServiceError) as failed:
        caller.call(service, "embed_text", "a sea", clock=hours.clock)

    assert failed.value.retry_after_s == float(retry_after)
    assert hours.waits == []


def test_the_deadline_counts_the_waits(caller: Caller, service: Service) -> None:
    hours = Hours()
    service.next = [problem(503, "overloaded", Retry_After="2")] * TRIES

    with pytest.raises(ServiceError):
        caller.call(service, "embed_text", "a sea", clock=hours.clock, timeout_s=5)

    assert hours.waits == [2.0, 2.0]


def test_a_request_that_ran_out_of_time_is_not_sent_again(caller: Caller, service: Service) -> None:
    hours = Hours()

    def slow(request: httpx.Request) -> httpx.Response:
        hours.time += 30
        raise httpx.ReadTimeout("slow", request=request)

    service.next = [slow]

    with pytest.raises(Timeout, match="No answer within 30 seconds") as failed:
        caller.call(service, "embed_text", "a sea", clock=hours.clock)

    assert failed.value.retryable
    assert len(service.asked) == 1


def test_the_deadline_is_one_for_all_requests_of_a_list(caller: Caller, service: Service) -> None:
    hours = Hours()

    def slow(request: httpx.Request) -> httpx.Response:
        hours.time += 20
        return service.answer(request)

    service.next = [slow] * 5

    with pytest.raises(Timeout):
        caller.call(service, "embed_texts", ["a sea"] * 256 * 5, clock=hours.clock, timeout_s=40)

    assert len(service.asked) == 2


def test_what_cannot_be_reached_raises_why(caller: Caller, service: Service) -> None:
    service.next = [httpx.ConnectError("refused")] * TRIES

    with pytest.raises(ConnectionFailed, match="connection_failed: ConnectError: refused") as failed:
        caller.call(service, "embed_text", "a sea", clock=Hours().clock)

    assert (failed.value.status, failed.value.retryable) == (None, True)


def test_health_is_asked_once(caller: Caller, service: Service) -> None:
    service.next = [httpx.ConnectError("refused")]

    with pytest.raises(ConnectionFailed):
        caller.call(service, "health", clock=Hours().clock)

    assert len(service.asked) == 1


def test_operations_share_what_is_left_and_connecting_leaves_some() -> None:
    hours = Hours()
    deadline = Deadline(30, hours.clock.now)

    at_first = dict(deadline)
    hours.sleep(25)

    assert at_first == {"connect": 10, "read": 30, "write": 30, "pool": 30}
    assert dict(deadline) == {"connect": 5, "read": 5, "write": 5, "pool": 5}
    assert len(deadline) == 4
    hours.sleep(25)
    assert all(0 < seconds < 0.01 for seconds in deadline.values())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 0), ("120", 120), (IN_9_S, 9), (format_datetime(TODAY - timedelta(days=9), usegmt=True), 0), ("", 0),
     ("-5", 0), ("1.5", 0), ("٣", 0), ("Sat, 99 Nov 2026 99:99:99 GMT", 0), ("Sat, 21 Nov 99999 12:00:00 GMT", 0)],
)  # fmt: skip
def test_retry_after_is_in_seconds_or_a_date(header: str, seconds: float) -> None:
    assert asked_wait_s(header, TODAY.timestamp()) == seconds


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("Not now.", status=503, code="overloaded", request_id="an-id", retry_after_s=3),
        AuthenticationError("No.", status=401, code="unauthorized"),
        SpaceChanged("Another.", expected="a", found="b", request_id="an-id"),
        ConnectionFailed("refused"),
        Timeout("late"),
        UnexpectedAnswer("?", request_id="an-id"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_a_task_queue(error: EmbeddingsError) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
