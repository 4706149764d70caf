"""Over real sockets: connections are kept, deadlines hold, and the token shows nowhere."""

import asyncio
import gc
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import parse_headers
from typing import Any

import httpx
import pytest

from tate_embeddings_client import AsyncClient, Client, ConnectionFailed, EmbeddingsError, Timeout
from tate_embeddings_client.testing import AsyncFakeClient, FakeClient
from tests.clients.python.conftest import Caller, Hours
from tests.clients.python.service import Loopback, Respond, Service, problem, vector
from tests.conftest import TOKEN

Raw = Callable[[Callable[[socket.socket], None]], str]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n"


@pytest.fixture
def raw() -> Iterator[Raw]:
    """Listens on loopback and lets a test answer byte by byte; gives the address."""
    listeners: list[socket.socket] = []

    def listen(converse: Callable[[socket.socket], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve(connection: socket.socket) -> None:
            with suppress(OSError), connection, connection.makefile("rb") as sent:
                sent.readline()
                head = parse_headers(sent)
                sent.read(int(head["Content-Length"]))
                converse(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield listen
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def silent(connection: socket.socket) -> None:
    connection.recv(1)  # until the client is tired of it


def trickling(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    pace = threading.Event()
    while not pace.wait(0.02):
        connection.sendall(b" ")


@pytest.fixture
def opened(loopback: Callable[[Respond], Loopback], service: Service) -> Loopback:
    return loopback(service)


def test_one_connection_serves_call_after_call(caller: Caller, opened: Loopback) -> None:
    found = caller.together(opened.address, *[("embed_text", str(number)) for number in range(20)])

    assert [list(each.vector) for each in found] == [vector(str(number)) for number in range(20)]
    assert opened.connections == 1


def test_a_connection_outlives_a_failure(caller: Caller, opened: Loopback, service: Service) -> None:
    service.next = [problem(503, "overloaded"), httpx.Response(502, text="<html>")]

    caller.together(opened.address, ("embed_text", "a sea"), clock=Hours().clock)

    assert (len(service.asked), opened.connections) == (3, 1)


def test_forms_go_over_the_wire(caller: Caller, opened: Loopback) -> None:
    images = [bytes(range(256)) * 100, b"\r\n--", b""]

    found = caller.call(opened.address, "embed_images", images)

    assert [list(each.vector) for each in found] == [vector(image) for image in images]


def test_threads_share_a_client(opened: Loopback) -> None:
    found: dict[str, Any] = {}
    with Client(opened.address, TOKEN) as client:
        threads = [
            threading.Thread(target=lambda text=text: found.update({text: client.embed_text(text)}))
            for text in map(str, range(16))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    assert {text: list(each.vector) for text, each in found.items()} == {text: vector(text) for text in found}
    assert len(found) == 16


def test_tasks_share_a_client(opened: Loopback) -> None:
    texts = list(map(str, range(16)))

    async def call() -> list[Any]:
        async with AsyncClient(opened.address, TOKEN) as client:
            return await asyncio.gather(*map(client.embed_text, texts))

    assert [list(each.vector) for each in asyncio.run(call())] == [vector(text) for text in texts]


@pytest.mark.parametrize("converse", [silent, trickling])
def test_no_call_outlives_its_deadline(caller: Caller, raw: Raw, converse: Callable[[socket.socket], None]) -> None:
    started = time.monotonic()

    with pytest.raises(Timeout):
        caller.call(raw(converse), "embed_text", "a sea", timeout_s=0.3)

    assert 0.29 <= time.monotonic() - started < 3


def test_nobody_there_is_tried_until_the_last_try(caller: Caller, free_port: int) -> None:
    hours = Hours()

    with pytest.raises(ConnectionFailed, match="ConnectError"):
        caller.call(f"http://127.0.0.1:{free_port}", "embed_text", "a sea", clock=hours.clock)

    assert len(hours.waits) == 3


def test_a_connection_that_breaks_off_is_made_again(caller: Caller, raw: Raw) -> None:
    answers = [b"", HEAD, HEAD + b"\r\n{", Service().answer(_a_request()).content]

    def converse(connection: socket.socket) -> None:
        answer = answers.pop(0)
        connection.sendall(
            answer if answers else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
        )

    found = caller.call(raw(converse), "embed_text", "a sea", clock=Hours().clock)

    assert list(found.vector) == vector("a sea")


def test_the_token_shows_nowhere(
    caller: Caller, opened: Loopback, service: Service, raw: Raw, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    service.next = [problem(401, "unauthorized"), httpx.Response(200, text="<html>"), problem(422, "not_an_image")]
    addresses = [opened.address, opened.address, opened.address, f"http://127.0.0.1:{free_port}", raw(silent)]
    shown: list[str] = []

    for address in addresses:
        with pytest.raises(EmbeddingsError) as failed:
            caller.call(address, "embed_images", [b"an image"], clock=Hours().clock, timeout_s=0.2)
        shown += told(failed.value)

    client: Any = caller.kind(opened.address, TOKEN)
    shown += [repr(client), repr(vars(client)), repr(vars(client._calls)), repr(client._http.headers)]
    shown += [record.getMessage() + repr(record.args) for record in caplog.records]
    assert any("httpcore" in record.name for record in caplog.records)
    assert len(shown) > 30
    assert all(TOKEN not in text for text in shown)


def test_the_frames_that_hold_the_header_are_left_behind(caller: Caller) -> None:
    def send(request: httpx.Request) -> httpx.Response:
        sent = request.headers.raw  # as in the frames below httpx, while a header is sent
        raise httpx.WriteError(f"broken after {len(sent)} headers")

    with pytest.raises(ConnectionFailed, match="broken after") as failed:
        caller.call(send, "embed_text", "a sea", clock=Hours().clock)

    assert all(TOKEN not in text for text in told(failed.value))


@pytest.mark.parametrize("token", ["", "  ", "secret\r\nX-More: 1", "secret\x00", "secret\ud800", "secret\x7f"])
def test_a_token_that_no_header_holds_is_refused_unseen(token: str) -> None:
    with pytest.raises(ValueError, match="The token is empty") as failed:
        Client("http://embeddings.example.org", token)

    assert "secret" not in "".join(traceback.format_exception(failed.value))


def test_a_token_of_other_letters_goes_out_as_the_service_reads_it(service: Service) -> None:
    with Client("http://embeddings.example.org", " gehëim\n", transport=httpx.MockTransport(service)) as client:
        client.health()

    assert dict(service.asked[0].headers.raw)[b"Authorization"] == "Bearer gehëim".encode()


def test_what_is_closed_leaves_nothing_open(opened: Loopback) -> None:
    client = Client(opened.address, TOKEN)
    client.embed_text("a sea")
    client.close()
    del client
    gc.collect()  # where a socket that is left open would warn, and warnings are errors

    with FakeClient() as fake:
        assert fake.health().ready
    asyncio.run(AsyncFakeClient().close())


def told(error: EmbeddingsError) -> list[str]:
    """All that a report of an error may show: the frames' variables too, as crash reporters do."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    return [str(error), repr(error), repr(vars(error)), *frames.format()]


def _a_request() -> httpx.Request:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx.Request("POST", "http://embeddings.example.org/embed-text", json={"query": "a sea"}, headers=headers)
