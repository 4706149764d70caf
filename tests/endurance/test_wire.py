"""A connection notices when an answer doesn't come, comes in part, or comes twice."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

import pytest

from tests.endurance.clients import Caller, Habits, calling
from tests.endurance.forms import Question
from tests.endurance.ledger import Ledger
from tests.endurance.service import until
from tests.endurance.wire import Lost, connect

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-ID: mine\r\n\r\n{}"
HALF = GOOD[:-1]
PIECE = 7
MUCH = 65536
PATIENCE_S = 5.0


@contextmanager
def answering(data: bytes, *, closing: bool = False) -> Iterator[int]:
    """The port of a server that says the same to everybody, piece by piece, and then hangs up or says no more."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):  # some hang up meanwhile
                heard = connection.recv(MUCH)  # all of it: what is closed over unread bytes is reset
                for place in range(0, len(data) if heard else 0, PIECE):
                    connection.send(data[place : place + PIECE])
                if not closing:
                    connection.recv(1)  # nothing, when the other end is closed

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


async def asked(port: int, within_s: float = PATIENCE_S) -> tuple[int, object]:
    connection = await connect(port)
    try:
        answer = await connection.ask(REQUEST, within_s)
    finally:
        connection.hang_up()
    return answer.status, answer.body


def test_an_answer_that_comes_in_pieces_is_one_answer() -> None:
    with answering(GOOD) as port:
        assert asyncio.run(asked(port)) == (200, {})


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "closed without an answer"), (HALF, "closed in the middle"), (b"what?\r\n\r\n", "no answer")],
)
def test_an_answer_that_does_not_come_in_full_is_lost(data: bytes, reason: str) -> None:
    with answering(data, closing=True) as port, pytest.raises(Lost, match=reason):
        asyncio.run(asked(port))


def test_an_answer_that_takes_too_long_is_lost() -> None:
    with answering(HALF) as port, pytest.raises(Lost, match=r"within 0\.05 s"):
        asyncio.run(asked(port, within_s=0.05))


def test_a_second_answer_is_noticed() -> None:
    async def run(port: int) -> bool:
        connection = await connect(port)
        await connection.ask(REQUEST, PATIENCE_S)
        noticed = await until(lambda: connection.unasked > 0, PATIENCE_S)
        connection.hang_up()
        return noticed is not None

    with answering(GOOD + GOOD) as port:
        assert asyncio.run(run(port))


def question() -> Question:
    return Question("query", "mine", REQUEST, b"", lambda _: None)


def caller(port: int, ledger: Ledger, hangs_up: float = 0.0) -> Caller:
    return Caller(port, question, Habits(thinks_s=0.001, hangs_up=hangs_up), ledger, Random(0))


def test_a_caller_takes_down_what_it_lost_with_the_port_that_it_had() -> None:
    ledger = Ledger()
    with answering(b"", closing=True) as port:
        asyncio.run(caller(port, ledger).ask(question()))

    assert [(loss.port > 0, loss.reason) for loss in ledger.losses] == [(True, "closed without an answer")]


def test_a_caller_that_is_refused_a_connection_has_lost_its_request_too() -> None:
    ledger = Ledger()
    with answering(b"") as port:
        pass
    asyncio.run(caller(port, ledger).ask(question()))

    assert [(loss.port, loss.reason) for loss in ledger.losses] == [(0, "no connection (ConnectionRefusedError)")]


@pytest.mark.parametrize("hangs_up", [0.0, 1.0])
def test_whether_a_caller_waits_or_hangs_up_all_its_requests_are_accounted_for(hangs_up: float) -> None:
    ledger = Ledger()

    async def run(port: int) -> None:
        async with calling([caller(port, ledger, hangs_up)]):
            await until(lambda: ledger.right + ledger.hung_up >= 3, PATIENCE_S)

    with answering(GOOD, closing=True) as port:
        asyncio.run(run(port))

    assert (ledger.right >= 3, ledger.hung_up >= 3) == (not hangs_up, bool(hangs_up))
    assert (ledger.unaccounted, ledger.losses, ledger.unasked) == (0, [], 0)
