"""The fetcher against real sockets on loopback: what is dialled, what is followed, what is read."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from app.config import Settings
from app.errors import ImageHostFailed, ImageHostTimeout, ImageUnusable, TooLarge, UrlForbidden
from app.images.fetch import MAX_REDIRECTS, Fetcher

Answer = Callable[[BaseHTTPRequestHandler], None]


class Host:
    """An image host whose answers a test writes, and which notes what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[BaseHTTPRequestHandler] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(self)
                host.answers[self.path.partition("?")[0]](self)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str, name: str = "127.0.0.1") -> str:
        return f"http://{name}:{self.port}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


def content(body: bytes, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def redirect(target: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", target)
        request.send_header("Set-Cookie", "session=1")
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def fetch(url: str, **changes: Any) -> bytes:
    """One fetch with its own fetcher; loopback is allowed unless a test says otherwise."""

    async def run() -> bytes:
        fetcher = Fetcher(Settings.load(**{"allow_private_networks": True} | changes), "tate-embeddings/test")
        try:
            return await fetcher.fetch(url)
        finally:
            await fetcher.close()

    return asyncio.run(run())


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A name server of the test's own: names to addresses, nothing else resolves."""
    table: dict[str, list[str]] = {}

    async def getaddrinfo(_: Any, host: str, port: int, **__: Any) -> Any:
        if host not in table:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in table[host]]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return table


def test_the_bytes_behind_a_url_are_fetched(host: Host) -> None:
    host.answers["/a.png"] = content(b"picture")

    assert fetch(host.url("/a.png?size=large")) == b"picture"


def test_the_fetcher_says_who_it_is_and_asks_for_no_encoding(host: Host) -> None:
    host.answers["/a.png"] = content(b"picture")

    fetch(host.url("/a.png"))

    assert host.asked[0].headers["User-Agent"] == "tate-embeddings/test"
    assert host.asked[0].headers["Accept-Encoding"] == "identity"


def test_a_loopback_address_is_not_dialled(host: Host) -> None:
    with pytest.raises(UrlForbidden):
        fetch(host.url("/a.png"), allow_private_networks=False)

    assert not host.asked


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://localhost/", "http://127.1/", "http://[::1]/",
                                 "http://0x7f000001/", "http://2130706433/", "http://0/"])  # fmt: skip
def test_this_machine_is_not_reached_by_any_of_its_names(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _forbid_dialling(monkeypatch)

    with pytest.raises(UrlForbidden):
        fetch(url, allow_private_networks=False)


def test_a_name_with_one_bad_address_among_good_ones_is_refused(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _forbid_dialling(monkeypatch)
    names["media.example.org"] = ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(UrlForbidden):
        fetch("http://media.example.org/a.png", allow_private_networks=False)


def test_the_address_that_was_judged_is_the_one_dialled(host: Host, names: dict[str, list[str]]) -> None:
    names["media.example.org"] = ["127.0.0.1"]
    host.answers["/a.png"] = content(b"picture")

    assert fetch(host.url("/a.png", "media.example.org")) == b"picture"
    assert host.asked[0].headers["Host"] == f"media.example.org:{host.port}"


@pytest.mark.parametrize("port", [22, 8080, 6379])
def test_ports_other_than_those_of_the_web_are_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _forbid_dialling(monkeypatch)

    with pytest.raises(UrlForbidden):
        fetch(f"http://media.example.org:{port}/", allow_private_networks=False)


@pytest.mark.parametrize("name", ["media.example.org", "MEDIA.example.org", "a.example.com", "a.b.example.com"])
def test_a_host_on_the_list_is_fetched_from(host: Host, names: dict[str, list[str]], name: str) -> None:
    names[name.lower()] = ["127.0.0.1"]
    host.answers["/"] = content(b"picture")

    assert fetch(host.url("/", name), allowed_image_hosts="media.example.org,*.example.com") == b"picture"


@pytest.mark.parametrize("name", ["example.org", "example.com", "evilexample.com", "media.example.org.evil.net"])
def test_a_host_that_is_not_on_the_list_is_refused(host: Host, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _forbid_dialling(monkeypatch)

    with pytest.raises(UrlForbidden):
        fetch(host.url("/", name), allowed_image_hosts="media.example.org,*.example.com")


def test_redirects_are_followed_without_their_cookies(host: Host) -> None:
    host.answers |= {"/1": redirect("/2"), "/2": redirect(host.url("/3")), "/3": content(b"picture")}

    assert fetch(host.url("/1")) == b"picture"
    assert all(request.headers["Cookie"] is None for request in host.asked)


def test_redirects_end_somewhere(host: Host) -> None:
    host.answers["/loop"] = redirect("/loop")

    with pytest.raises(ImageUnusable):
        fetch(host.url("/loop"))

    assert len(host.asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/", "file:///etc/passwd", "http://user@127.0.0.1/", "ftp://127.0.0.1/"]
)
def test_a_redirect_is_judged_like_a_url(host: Host, target: str) -> None:
    host.answers["/"] = redirect(target)

    with pytest.raises(UrlForbidden):
        fetch(host.url("/"))

    assert len(host.asked) == 1


def test_an_answer_in_another_encoding_is_not_inflated(host: Host) -> None:
    host.answers["/"] = content(b"bomb", Content_Encoding="gzip")

    with pytest.raises(ImageUnusable):
        fetch(host.url("/"))


def test_bytes_are_counted_whatever_the_host_claims(host: Host) -> None:
    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            try:
                request.wfile.write(b"a" * 65536)
            except OSError:
                return

    host.answers["/"] = endless

    with pytest.raises(TooLarge):
        fetch(host.url("/"), max_image_bytes=100_000)


def test_one_deadline_covers_a_body_that_trickles(host: Host) -> None:
    stop = threading.Event()

    def trickle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not stop.wait(0.02):
            request.wfile.write(b"a")

    host.answers["/"] = trickle

    with pytest.raises(ImageHostTimeout):
        fetch(host.url("/"), fetch_timeout_s=0.3)
    stop.set()


def test_a_body_that_ends_too_early_is_the_hosts_failure(host: Host) -> None:
    host.answers["/"] = content(b"half", Content_Length="8")

    with pytest.raises(ImageHostFailed):
        fetch(host.url("/"))


def test_a_port_where_nobody_listens_is_the_hosts_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(ImageHostFailed):
        fetch(f"http://127.0.0.1:{port}/")


@pytest.mark.usefixtures("names")
def test_a_name_that_does_not_resolve_is_the_hosts_failure() -> None:
    with pytest.raises(ImageHostFailed):
        fetch("http://no-such-host.example.org/", allow_private_networks=False)


def test_the_environment_names_no_proxy(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    host.answers["/"] = content(b"picture")

    assert fetch(host.url("/")) == b"picture"


def _forbid_dialling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this process, also where the guard is broken."""

    async def dial(*_: Any, **__: Any) -> Any:
        raise AssertionError("an address was dialled")

    monkeypatch.setattr("httpcore.AnyIOBackend.connect_tcp", dial)
