"""Who sends slowly, or nothing, or reads nothing, has a connection for a while and no longer."""

import asyncio
import http.client
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from unittest import mock

import pytest
from app.serving.refusal import Refusal

from tests.conftest import AUTHORIZED
from tests.serving.conftest import Start
from tests.serving.hasty import FEW
from tests.serving.server import GET, LAST, PATIENCE_S, POST, Server, all_of, serving
from tests.serving.test_protocol import AMBIGUOUS, CHUNKED

LATE = b"HTTP/1.1 408 Request Timeout\r\n"
PACE_S = 0.05
# More often than any of them lasts.
MOST_DRIPS = int(PATIENCE_S / PACE_S)

# How what goes on for ever begins, and goes on.
DRIPS = {
    "an address": (b"GET /", b"a"),
    "a header": (GET + b"X-A: ", b"a"),
    "headers": (GET, b"X-A: a\r\n"),
    "a body": (POST + b"Content-Length: 1000000\r\n\r\n", b"a"),
    "chunks": (POST + CHUNKED + b"\r\n", b"1\r\na\r\n"),
    "a chunk's extension": (POST + CHUNKED + b"\r\n1;", b"a"),
    "a trailer": (POST + CHUNKED + b"\r\n1\r\na\r\n0\r\nX-A: ", b"a"),
}
STALLED_BODY = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("tests.serving.hasty:Hasty", "tests.serving.hasty:app") as server:
        yield server


@pytest.fixture
def crowded() -> Iterator[Server]:
    with serving("tests.serving.hasty:Crowded", "tests.serving.hasty:app") as server:
        yield server


def drip(connection: socket.socket, beginning: bytes, piece: bytes, times: int = MOST_DRIPS) -> bytes:
    """Send a piece again and again, slowly; what came by then, or until the other end has closed the connection."""
    said = b""
    with suppress(ConnectionError):
        connection.sendall(beginning)
        connection.settimeout(PACE_S)
        for _ in range(times):
            with suppress(TimeoutError):
                came = connection.recv(65536)
                if not came:
                    break
                said += came
            with suppress(ConnectionError):  # closed already, but what it said is still to be read
                connection.sendall(piece)
    connection.settimeout(PATIENCE_S)
    return said


def until(connection: socket.socket, end: bytes) -> bytes:
    """What comes up to this end."""
    said = b""
    while not said.endswith(end):
        came = connection.recv(65536)
        assert came, said
        said += came
    return said


@pytest.mark.parametrize(("beginning", "piece"), DRIPS.values(), ids=DRIPS)
def test_a_request_that_drips_in_for_ever_is_ended(server: Server, beginning: bytes, piece: bytes) -> None:
    with server.connected() as connection:
        said = drip(connection, beginning, piece)

    assert said.startswith(LATE)
    assert b"\r\nconnection: close\r\n" in said
    assert server.says(LAST).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("beginning", [b"G", GET, GET + b"X-A: a\r\n", POST + b"Content-Length: 3\r\n\r\n"])
def test_a_request_that_stops_half_way_is_ended(server: Server, beginning: bytes) -> None:
    assert server.says(beginning).startswith(LATE)


@pytest.mark.parametrize("nothing", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed_without_a_word(server: Server, nothing: bytes) -> None:
    with server.connected() as connection:
        assert drip(connection, nothing, nothing) == b""


def test_a_later_request_of_a_connection_has_no_more_time_than_the_first(server: Server) -> None:
    said = server.says(GET + b"\r\n" + GET)

    assert [answer[:3] for answer in said.split(b"HTTP/1.1 ")] == [b"", b"200", b"408"]


def test_the_application_learns_that_a_body_will_not_come(server: Server) -> None:
    server.says(STALLED_BODY % b"/stalled")

    assert b"/stalled" in server.says(b"GET /who-has-gone HTTP/1.1\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("piece", [b"", b"a"])
def test_who_is_answered_before_the_body_has_come_does_not_keep_the_connection(server: Server, piece: bytes) -> None:
    with server.connected() as connection:
        said = drip(connection, STALLED_BODY % b"/refuse", piece)

    assert said.startswith(b"HTTP/1.1 401 ")
    assert LATE not in said


def test_a_connection_is_kept_if_the_body_comes_after_the_answer(server: Server) -> None:
    with server.connected() as connection:
        connection.sendall(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab")
        assert until(connection, b"no").startswith(b"HTTP/1.1 401 ")
        connection.sendall(b"c")
        connection.sendall(GET + b"\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_a_connection_is_not_kept_for_ever_once_such_a_body_has_come(server: Server) -> None:
    with server.connected() as connection:
        connection.sendall(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab")
        assert until(connection, b"no").startswith(b"HTTP/1.1 401 ")
        connection.sendall(b"c")
        assert connection.recv(65536) == b""


@pytest.mark.slow
def test_a_slow_upload_that_goes_on_is_taken(server: Server) -> None:
    piece, times = b"a" * 16384, 40  # 320 KiB a second, for more than twice as long as a body may take that has stopped
    with server.connected() as connection:
        length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (len(piece) * times)
        drip(connection, POST + length, piece, times)
        answer = all_of(connection)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["body"]) == len(piece) * times


@pytest.mark.slow
def test_a_request_that_has_to_wait_for_the_one_before_it_loses_no_time(server: Server) -> None:
    body = b"Content-Length: 3\r\nConnection: close\r\n\r\n"
    with server.connected() as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + POST + body)
        for _ in range(3):
            server.says()  # as long as headers may take: together longer than a body may
        server.says(b"GET /go HTTP/1.1\r\nConnection: close\r\n\r\n")
        until(connection, b"waited")
        connection.sendall(b"abc")
        answer = all_of(connection)

    assert answer.endswith(b'"body":"abc"}')


@pytest.mark.slow
def test_who_never_reads_an_answer_is_given_up(server: Server) -> None:
    server.says(LAST)
    before = server.files()
    with closing(socket.socket()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(1) == b"H"
        assert server.files() > before
        assert _soon(lambda: server.files() <= before)


@pytest.mark.slow
def test_further_connections_are_refused_and_the_others_served(crowded: Server) -> None:
    with ExitStack() as few:
        client = few.enter_context(closing(http.client.HTTPConnection("127.0.0.1", crowded.port, timeout=PATIENCE_S)))
        client.request("GET", "/first")
        client.getresponse().read()
        idle = [few.enter_context(crowded.connected()) for _ in range(FEW - 1)]
        head, _, body = crowded.says(POST + b"Content-Length: 0\r\n\r\n").partition(b"\r\n\r\n")
        client.request("GET", "/second")
        served = client.getresponse().status
        idle[0].close()
        assert _soon(lambda: crowded.says(LAST).startswith(b"HTTP/1.1 200 "))

    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["code"] == "overloaded"
    assert int(re.findall(rb"\r\nretry-after: (\d+)", head)[0]) > 0
    assert b"\r\nconnection: close" in head
    assert served == 200


@pytest.mark.slow
def test_a_connection_too_many_that_asks_for_nothing_is_closed(crowded: Server) -> None:
    with ExitStack() as few:
        for _ in range(FEW):
            few.enter_context(crowded.connected())
        assert crowded.says() == b""


def test_a_flood_of_connections_is_no_flood_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    async def flood() -> None:
        for _ in range(1000):
            Refusal(mock.Mock(asyncio.Transport), asyncio.get_running_loop(), FEW)

    with caplog.at_level(logging.WARNING):
        asyncio.run(flood())

    assert len(caplog.records) <= 1


@pytest.mark.slow
def test_a_service_under_bad_and_slow_clients_stays_healthy_and_answers_others(start: Start, free_port: int) -> None:
    authorization = f"Authorization: {AUTHORIZED['Authorization']}\r\n".encode()
    stalled = b"POST /embed-text HTTP/1.1\r\nHost: a\r\n%bContent-Length: 1000000\r\n\r\n{"
    slow = [(b"", b""), (GET, b"X-A: a\r\n"), (stalled % b"", b" "), (stalled % authorization, b" ")]
    limits = {"HEADER_TIMEOUT_S": "1", "BODY_TIMEOUT_S": "2"}
    with start(["app.cli", "serve", "--workers", "1"], **limits) as service, ExitStack() as idle:
        server = Server(service.process, free_port)
        for _ in range(300):
            idle.enter_context(server.connected())
        said: list[bytes] = []
        dripping = [threading.Thread(target=_drip, args=(server, *each, said)) for each in slow * 4]
        for thread in dripping:
            thread.start()
        statuses = set()
        for request in AMBIGUOUS.values():
            statuses.add(server.says(request)[:12])
            assert service.is_healthy()
            answer = service.client.post("/embed-text", json={"query": "a sea"}, headers=AUTHORIZED)
            assert answer.status_code == 200
        for thread in dripping:
            thread.join()

    assert statuses == {b"HTTP/1.1 400"}
    assert sorted(each[:12] for each in said) == [b""] * 4 + [b"HTTP/1.1 401"] * 4 + [b"HTTP/1.1 408"] * 8
    assert "Traceback" not in service.log.read_text()


def _drip(server: Server, beginning: bytes, piece: bytes, said: list[bytes]) -> None:
    with server.connected() as connection:
        said.append(drip(connection, beginning, piece))


def _soon(condition: Callable[[], bool]) -> bool:
    deadline, pace = time.monotonic() + PATIENCE_S, threading.Event()
    while not condition() and time.monotonic() < deadline:
        pace.wait(PACE_S)
    return condition()
