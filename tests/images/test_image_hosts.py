"""Image hosts that misbehave, over real sockets: each ends in the failure that says so, within its deadline."""

import asyncio
import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import trustme
from app.config import Settings
from app.errors import (
    ImageHostFailed,
    ImageHostTimeout,
    ImageNotFound,
    ImageUnusable,
    ServiceError,
    TooLarge,
    UrlForbidden,
)
from app.images.fetch import MAX_CONNECTIONS_PER_HOST, Fetcher

from tests.images.conftest import Names, fetch
from tests.images.hosts import Host, RawHost, content, redirect

DEADLINE_S = 0.4
LIMIT = 50_000

Say = Callable[[socket.socket], None]
MakeHost = Callable[..., RawHost]


@pytest.fixture
def raw() -> Iterator[MakeHost]:
    """Makes hosts that answer byte by byte."""
    hosts: list[RawHost] = []

    def make(answer: Say | bytes, tls: ssl.SSLContext | None = None) -> RawHost:
        hosts.append(RawHost(says(answer) if isinstance(answer, bytes) else answer, tls))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


def says(data: bytes) -> Say:
    return lambda connection: connection.sendall(data)


def says_for_ever(start: bytes, piece: bytes, pause_s: float = 0.0) -> Say:
    """Sends a start and then a piece again and again, until the other side has gone."""
    never = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        while not (pause_s and never.wait(pause_s)):
            connection.sendall(piece)

    return answer


def says_no_more(start: bytes) -> Say:
    """Sends a start and then holds the connection open."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        connection.recv(1)

    return answer


def resets(start: bytes) -> Say:
    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(10_000_000))

MISBEHAVIOUR: dict[str, tuple[Say | bytes, type[ServiceError]]] = {
    "never answers": (says_no_more(b""), ImageHostTimeout),
    "sends its headers a byte at a time": (says_for_ever(OK + b"X: ", b"a", 0.02), ImageHostTimeout),
    "sends its body a byte at a time": (says_for_ever(OK + b"\r\n", b"a", 0.02), ImageHostTimeout),
    "sends its chunks a byte at a time": (says_for_ever(CHUNKED, b"1\r\na\r\n", 0.02), ImageHostTimeout),
    "stops in the middle": (says_no_more(OK + b"Content-Length: 9\r\n\r\npict"), ImageHostTimeout),
    "says 'continue' for ever": (says_for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), ImageHostTimeout),
    "sends hints for ever": (says_for_ever(b"", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"), ImageHostTimeout),
    "sends headers for ever": (says_for_ever(OK, b"X-Header: value\r\n" * 100), ImageHostFailed),
    "sends one header for ever": (says_for_ever(OK + b"X-Header: ", b"a" * 1000), ImageHostFailed),
    "sends a status line for ever": (says_for_ever(b"HTTP/1.1 200 ", b"O" * 1000), ImageHostFailed),
    "sends a chunk's size for ever": (says_for_ever(CHUNKED, b"0" * 1000), ImageHostFailed),
    "sends trailers for ever": (says_for_ever(CHUNKED + b"0\r\n", b"X-Trailer: value\r\n" * 100), ImageHostFailed),
    "sends a body for ever": (says_for_ever(OK + b"\r\n", b"a" * 1000), TooLarge),
    "sends chunks for ever": (says_for_ever(CHUNKED, b"3e8\r\n" + b"a" * 1000 + b"\r\n"), TooLarge),
    "claims more than the limit": (OK + b"Content-Length: 50001\r\n\r\npicture", TooLarge),
    "claims more than there is": (OK + b"Content-Length: 9\r\n\r\npicture", ImageHostFailed),
    "claims a length below zero": (OK + b"Content-Length: -1\r\n\r\npicture", ImageHostFailed),
    "claims two lengths": (OK + b"Content-Length: 7\r\nContent-Length: 8\r\n\r\npicture", ImageHostFailed),
    "claims a length that is no number": (OK + b"Content-Length: many\r\n\r\npicture", ImageHostFailed),
    "cuts a chunk off": (CHUNKED + b"9\r\npict", ImageHostFailed),
    "sends chunks of no size": (CHUNKED + b"size\r\npicture\r\n", ImageHostFailed),
    "inflates": (OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB, ImageUnusable),
    "inflates twice": (OK + b"Content-Encoding: gzip, gzip\r\n\r\n" + BOMB, ImageUnusable),
    "inflates after all": (OK + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\n", ImageUnusable),
    "sends brotli": (OK + b"Content-Encoding: BR\r\n\r\npicture", ImageUnusable),
    "inflates in transfer": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ImageHostFailed),
    "hangs up at once": (b"", ImageHostFailed),
    "resets at once": (resets(b""), ImageHostFailed),
    "resets in its headers": (resets(OK + b"X-Head"), ImageHostFailed),
    "resets in its body": (resets(OK + b"Content-Length: 9\r\n\r\npict"), ImageHostFailed),
    "speaks something else": (b"SSH-2.0-OpenSSH_9.9\r\n", ImageHostFailed),
    "speaks an old HTTP": (b"<html>picture</html>", ImageHostFailed),
    "speaks TLS": (b"\x15\x03\x01\x00\x02\x02\x46", ImageHostFailed),
    "switches protocols": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", ImageHostFailed),
    "has no content": (b"HTTP/1.1 204 No Content\r\n\r\n", ImageUnusable),
    "sends a part": (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 7\r\n\r\npicture", ImageUnusable),
    "offers a choice": (b"HTTP/1.1 300 Multiple Choices\r\nContent-Length: 0\r\n\r\n", ImageUnusable),
    "says that nothing has changed": (b"HTTP/1.1 304 Not Modified\r\n\r\n", ImageUnusable),
    "redirects to nowhere": (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", ImageUnusable),
    "redirects to a file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", UrlForbidden),
    "redirects to what is no text": (b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe/\r\n\r\n", UrlForbidden),
    "has no such image, for ever": (says_for_ever(b"HTTP/1.1 404 Not Found\r\n\r\n", b"a" * 1000), ImageNotFound),
    "forbids it": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ImageNotFound),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), MISBEHAVIOUR.values(), ids=MISBEHAVIOUR)
def test_a_host_that_misbehaves_is_asked_once_and_left_in_time(
    answer: Say | bytes, expected: type[ServiceError], raw: MakeHost
) -> None:
    host = raw(answer)
    started = perf_counter()

    with pytest.raises(expected):
        fetch(f"http://127.0.0.1:{host.port}/", fetch_timeout_s=DEADLINE_S, max_image_bytes=LIMIT)

    assert perf_counter() - started < DEADLINE_S + 2
    assert len(host.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 408, 425, 429])
def test_a_host_that_fails_for_now_is_asked_three_times(status: int, raw: MakeHost) -> None:
    host = raw(b"HTTP/1.1 %d Not now\r\nContent-Length: 0\r\n\r\n" % status)

    with pytest.raises(ImageHostFailed, match=str(status)):
        fetch(f"http://127.0.0.1:{host.port}/")

    assert len(host.requests) == 3


def test_a_host_that_recovers_gives_its_picture(host: Host) -> None:
    def recovering(request: Any) -> None:
        host.answers["/"] = content(b"picture")
        request.send_error(503)

    host.answers["/"] = recovering

    assert fetch(host.url("/")) == b"picture"


def test_no_more_is_read_than_the_host_claimed(raw: MakeHost) -> None:
    host = raw(OK + b"Content-Length: 4\r\n\r\npicture")

    assert fetch(f"http://127.0.0.1:{host.port}/") == b"pict"


def test_what_the_bytes_are_is_left_to_the_decoder(raw: MakeHost) -> None:
    host = raw(OK + b"Content-Type: text/html\r\n\r\n<html>")

    assert fetch(f"http://127.0.0.1:{host.port}/") == b"<html>"


def test_an_image_of_exactly_the_limit_is_read(raw: MakeHost) -> None:
    host = raw(OK + b"Content-Length: 7\r\n\r\npicture")

    assert fetch(f"http://127.0.0.1:{host.port}/", max_image_bytes=7) == b"picture"


@pytest.mark.parametrize("redirects", [1, 2, 3])
def test_up_to_three_redirects_are_followed(redirects: int, host: Host) -> None:
    host.answers = {f"/{number}": redirect(f"/{number + 1}") for number in range(redirects)}
    host.answers[f"/{redirects}"] = content(b"picture")

    assert fetch(host.url("/0")) == b"picture"


def test_a_fourth_redirect_is_not_followed(host: Host) -> None:
    host.answers = {f"/{number}": redirect(f"/{number + 1}") for number in range(4)} | {"/4": content(b"picture")}

    with pytest.raises(ImageUnusable):
        fetch(host.url("/0"))

    assert [request.path for request in host.asked] == ["/0", "/1", "/2", "/3"]


def test_neither_cookies_nor_credentials_of_the_environment_are_sent(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://user:secret@127.0.0.1:9")
    host.answers = {"/": redirect("/a.png"), "/a.png": content(b"picture")}

    fetch(host.url("/"))

    assert len(host.asked) == 2
    assert {name.lower() for request in host.asked for name in request.headers} == {
        "host", "accept", "accept-encoding", "user-agent"
    }  # fmt: skip


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """A certificate authority that the fetcher trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return authority


def encrypted(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_a_certificate_is_checked_against_the_name_of_the_host(
    authority: trustme.CA, raw: MakeHost, names: Names
) -> None:
    names["media.example.org"] = ["127.0.0.1"]
    host = raw(OK + b"\r\npicture", encrypted(authority, "media.example.org"))

    assert fetch(f"https://media.example.org:{host.port}/") == b"picture"


@pytest.mark.parametrize("certified", ["other.example.org", "127.0.0.1", "example.org"])
def test_a_certificate_for_another_host_is_the_hosts_failure_and_not_tried_again(
    certified: str, authority: trustme.CA, raw: MakeHost, names: Names
) -> None:
    names["media.example.org"] = ["127.0.0.1"]
    host = raw(OK + b"\r\npicture", encrypted(authority, certified))

    with pytest.raises(ImageHostFailed):
        fetch(f"https://media.example.org:{host.port}/")

    assert names.asked == ["media.example.org"]
    assert not host.requests


@pytest.mark.usefixtures("authority")
def test_a_certificate_of_an_unknown_authority_is_the_hosts_failure(raw: MakeHost) -> None:
    host = raw(OK + b"\r\npicture", encrypted(trustme.CA(), "127.0.0.1"))

    with pytest.raises(ImageHostFailed):
        fetch(f"https://127.0.0.1:{host.port}/")

    assert not host.requests


def test_a_host_without_tls_is_not_spoken_to_in_plain_text(host: Host) -> None:
    with pytest.raises(ImageHostFailed):
        fetch(f"https://127.0.0.1:{host.port}/")

    assert not host.asked


def test_a_redirect_from_https_to_http_is_refused(authority: trustme.CA, raw: MakeHost, host: Host) -> None:
    location = host.url("/a.png").encode()
    downgrading = raw(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\n\r\n", encrypted(authority, "127.0.0.1"))

    with pytest.raises(UrlForbidden):
        fetch(f"https://127.0.0.1:{downgrading.port}/")

    assert not host.asked


def together(urls: list[str], **changes: Any) -> list[bytes | BaseException]:
    """Fetches of one fetcher at the same time."""

    async def run() -> list[bytes | BaseException]:
        fetcher = Fetcher(Settings.load(allow_private_networks=True, **changes), "tate-embeddings/test")
        try:
            return await asyncio.gather(*map(fetcher.fetch, urls), return_exceptions=True)
        finally:
            await fetcher.close()

    return asyncio.run(run())


def test_one_host_is_asked_for_few_images_at_once(raw: MakeHost) -> None:
    busy: set[int] = set()
    most: list[int] = []
    full = threading.Barrier(MAX_CONNECTIONS_PER_HOST)

    def counting(connection: socket.socket) -> None:
        busy.add(connection.fileno())
        full.wait(10)
        most.append(len(busy))
        full.wait(10)
        busy.discard(connection.fileno())
        connection.sendall(OK + b"\r\npicture")

    host = raw(counting)

    fetched = together([f"http://127.0.0.1:{host.port}/"] * 2 * MAX_CONNECTIONS_PER_HOST)

    assert fetched == [b"picture"] * 2 * MAX_CONNECTIONS_PER_HOST
    assert set(most) == {MAX_CONNECTIONS_PER_HOST}


def test_waiting_for_a_turn_counts_against_the_deadline(raw: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.images.fetch.MAX_CONNECTIONS_PER_HOST", 1)
    host = raw(says_no_more(b""))

    fetched = together([f"http://127.0.0.1:{host.port}/"] * 3, fetch_timeout_s=DEADLINE_S)

    assert [type(outcome) for outcome in fetched] == [ImageHostTimeout] * 3
    assert len(host.requests) == 1


def test_a_host_that_never_answers_does_not_hold_up_another(
    raw: MakeHost, host: Host, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.images.fetch.MAX_CONNECTIONS", MAX_CONNECTIONS_PER_HOST + 1)
    names["media.example.org"] = ["127.0.0.1"]
    silent = raw(says_no_more(b""))
    host.answers["/"] = content(b"picture")

    fetched = together(
        [f"http://127.0.0.1:{silent.port}/"] * 20 + [host.url("/", "media.example.org")], fetch_timeout_s=DEADLINE_S
    )

    assert fetched[-1] == b"picture"


def test_connections_that_a_deadline_ended_are_free_for_others(
    raw: MakeHost, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.images.fetch.MAX_CONNECTIONS", 2)
    silent = raw(says_no_more(b""))
    host.answers["/"] = content(b"picture")

    async def run() -> bytes:
        settings = Settings.load(allow_private_networks=True, fetch_timeout_s=DEADLINE_S)
        fetcher = Fetcher(settings, "tate-embeddings/test")
        for _ in range(3):
            with pytest.raises(ImageHostTimeout):
                await fetcher.fetch(f"http://127.0.0.1:{silent.port}/")
        try:
            return await fetcher.fetch(host.url("/"))
        finally:
            await fetcher.close()

    assert asyncio.run(run()) == b"picture"
