"""HTTP as bytes on a wire, spoken with a process that reads it as workers do."""

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from itertools import repeat

import pytest
from app.config import MIB
from app.serving.protocol import MAX_HEADERS, MAX_WAITING_REQUESTS

from tests.serving.server import GET, LAST, PATIENCE_S, POST, Server, serving

CHUNKED = b"Transfer-Encoding: chunked\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
# Of this much, whatever is sent without end, nothing may stay.
MUCH = 256 * MIB
LITTLE = 16 * MIB

# How what has no end begins, and goes on.
ENDLESS = {
    "a header": (GET + b"X-A: ", b"a" * 65536),
    "headers' name": (GET + b"X-", b"a" * 65536),
    "headers": (GET, b"X-A: a\r\n" * 8192),
    "empty headers": (GET, b"a:\r\n" * 16384),
    "an address": (b"GET /", b"a" * 65536),
    "empty lines": (b"", b"\r\n" * 32768),
    "a chunk's extension": (POST + CHUNKED + b"\r\n1;", b"a" * 65536),
    "a trailer": (POST + CHUNKED + b"\r\n1\r\na\r\n0\r\nX-A: ", b"a" * 65536),
    "trailers": (POST + CHUNKED + b"\r\n1\r\na\r\n0\r\n", b"X-A: a\r\n" * 8192),
    "requests": (b"", (GET + b"\r\n") * 2048),
}
# What one reader takes for something else than another, or nobody for HTTP.
AMBIGUOUS = {
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and a length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +1\r\n\r\na",
    "a length below zero": POST + b"Content-Length: -1\r\n\r\na",
    "a length beyond all numbers": POST + b"Content-Length: 99999999999999999999\r\n\r\na",
    "a length of nothing": POST + b"Content-Length:\r\n\r\na",
    "almost chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked before something else": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "twice encoded": POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 1\r\n\r\na",
    "a folded header": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a space before a header": POST + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "lines that end with LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "a header that ends with LF": GET + b"X-A: a\nX-B: b\r\n\r\n",
    "a header that ends with CR": GET + b"X-A: a\rX-B: b\r\n\r\n",
    "NUL in a header": GET + b"X-A: a\x00b\r\n\r\n",
    "a header without a name": GET + b": a\r\n\r\n",
    "a header without a colon": GET + b"X-A\r\n\r\n",
    "a chunk of no length": POST + CHUNKED + b"\r\nzz\r\n",
    "a chunk of a length below zero": POST + CHUNKED + b"\r\n-1\r\na\r\n0\r\n\r\n",
    "a chunk beyond all numbers": POST + CHUNKED + b"\r\nffffffffffffffffff\r\na",
    "a chunk longer than it says": POST + CHUNKED + b"\r\n1\r\nab\r\n0\r\n\r\n",
    "chunks that end with LF": POST + CHUNKED + b"\r\n1\na\n0\n\n",
    "bytes beyond ASCII in an address": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in an address": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "no address": b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tunnel": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("app.serving.protocol:BoundedProtocol") as server:
        yield server


def is_refusal(said: bytes) -> bool:
    return said.startswith(b"HTTP/1.1 400 ") and b"\r\nconnection: close\r\n" in said


@pytest.mark.parametrize(("beginning", "piece"), ENDLESS.values(), ids=ENDLESS)
def test_what_has_no_end_is_cut_off_in_bounded_memory(server: Server, beginning: bytes, piece: bytes) -> None:
    server.says(LAST)
    before = server.memory()

    with pytest.raises(ConnectionError):
        server.says(beginning, *repeat(piece, MUCH // len(piece)))

    assert server.memory() - before < LITTLE
    assert server.says(LAST).startswith(b"HTTP/1.1 200 ")


def test_a_header_of_1_mib_is_read(server: Server) -> None:
    (understood,) = server.understands(GET + b"X-A: " + b"a" * MIB + b"\r\n\r\n")

    assert understood["headers"] == ["host", "x-a"]


def test_a_header_of_16_mib_is_refused(server: Server) -> None:
    with pytest.raises(ConnectionError):  # it is closed while bytes of the header are still on their way
        server.says(GET + b"X-A: " + b"a" * (16 * MIB))


def test_more_headers_than_anyone_needs_are_refused(server: Server) -> None:
    usual, too_many = (GET + b"X-A: a\r\n" * count + b"\r\n" for count in (MAX_HEADERS - 1, MAX_HEADERS))

    assert len(server.understands(usual)) == 1
    assert is_refusal(server.says(too_many))


def test_a_request_that_comes_byte_by_byte_is_answered(server: Server) -> None:
    request = POST + b"Content-Length: 3\r\n\r\nabc"

    (understood,) = server.understands(*(request[at : at + 1] for at in range(len(request))))

    assert understood == {"method": "POST", "path": "/", "headers": ["content-length", "host"], "body": "abc"}


def test_requests_that_wait_for_no_answer_are_answered_in_their_order(server: Server) -> None:
    paths = [f"/{number}" for number in range(MAX_WAITING_REQUESTS)]

    understood = server.understands(b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths))

    assert [request["path"] for request in understood] == paths


def test_a_connection_is_kept_for_the_next_request(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)) as client:
        client.connect()
        kept = client.sock
        for path in ("/one", "/two"):
            client.request("POST", path, b"body")
            assert json.load(client.getresponse())["path"] == path
            assert client.sock is kept


@pytest.mark.parametrize(
    "request_",
    [
        GET + b"Connection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ],
)
def test_a_connection_is_closed_after_the_answer_where_its_caller_waits_for_that(
    server: Server, request_: bytes
) -> None:
    answer = server.says(request_)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer


def test_an_answer_to_head_has_no_body(server: Server) -> None:
    head, _, body = server.says(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").partition(b"\r\n\r\n")

    assert re.search(rb"content-length: [1-9]", head)
    assert body == b""


def test_who_asks_before_sending_a_body_is_told_to_go_on(server: Server) -> None:
    with server.connected() as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        answer = b""
        while not answer.endswith(b'"body":"abc"}'):  # which may come in pieces
            piece = connection.recv(65536)
            assert piece
            answer += piece


@pytest.mark.parametrize("request_", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused(server: Server, request_: bytes) -> None:
    assert is_refusal(server.says(request_))


def test_what_follows_a_body_is_no_header(server: Server) -> None:
    (understood,) = server.understands(POST + CHUNKED + b"\r\n1\r\na\r\n0\r\nAuthorization: Bearer a\r\n\r\n")

    assert (understood["headers"], understood["body"]) == (["host", "transfer-encoding"], "a")


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("body", [b"Content-Length: 3\r\n\r\nabc", CHUNKED + b"\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"])
def test_a_request_that_offers_another_protocol_is_read_like_any_other(server: Server, body: bytes, size: int) -> None:
    said = POST + OFFER + body + GET + OFFER + b"\r\n" + GET + b"\r\n"

    understood = server.understands(*(said[at : at + size] for at in range(0, len(said), size)))

    assert [(each["method"], each["body"]) for each in understood] == [("POST", "abc"), ("GET", ""), ("GET", "")]
