"""The fetcher against real sockets on loopback: what is dialled, what is followed, what is read."""

import socket
import threading
from http.server import BaseHTTPRequestHandler

import pytest
from app.errors import ImageHostFailed, ImageHostTimeout, ImageUnusable, Overloaded, TooLarge, UrlForbidden
from app.images.fetch import MAX_REDIRECTS

from tests.images.conftest import PUBLIC, Dialler, Names, fetch
from tests.images.hosts import Host, content, redirect


def test_the_bytes_behind_a_url_are_fetched(host: Host) -> None:
    host.answers["/a.png"] = content(b"picture")

    assert fetch(host.url("/a.png?size=large")) == b"picture"


def test_the_fetcher_says_who_it_is_and_asks_for_no_encoding(host: Host) -> None:
    host.answers["/a.png"] = content(b"picture")

    fetch(host.url("/a.png"))

    assert host.asked[0].headers["User-Agent"] == "tate-embeddings/test"
    assert host.asked[0].headers["Accept-Encoding"] == "identity"


def test_bytes_are_taken_as_they_arrive_and_may_be_refused(host: Host) -> None:
    host.answers["/a.png"] = content(b"x" * 1_000_000)
    taken: list[int] = []

    def take(count: int) -> None:
        taken.append(count)
        if sum(taken) > 100_000:
            raise Overloaded("enough")

    with pytest.raises(Overloaded):
        fetch(host.url("/a.png"), take=take)

    assert 100_000 < sum(taken) < 1_000_000


def test_a_loopback_address_is_not_dialled(host: Host) -> None:
    with pytest.raises(UrlForbidden):
        fetch(host.url("/a.png"), allow_private_networks=False)

    assert not host.asked


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://localhost/", "http://127.1/", "http://[::1]/",
                                 "http://0x7f000001/", "http://2130706433/", "http://0/"])  # fmt: skip
def test_this_machine_is_not_reached_by_any_of_its_names(url: str, dialler: Dialler) -> None:
    with pytest.raises(UrlForbidden):
        fetch(url, allow_private_networks=False)

    assert not dialler.dialled


def test_a_name_with_one_bad_address_among_good_ones_is_refused(names: Names, dialler: Dialler) -> None:
    names["media.example.org"] = [PUBLIC, "10.0.0.1"]

    with pytest.raises(UrlForbidden):
        fetch("http://media.example.org/a.png", allow_private_networks=False)

    assert not dialler.dialled


def test_the_address_that_was_judged_is_the_one_dialled(host: Host, names: Names) -> None:
    names["media.example.org"] = ["127.0.0.1"]
    host.answers["/a.png"] = content(b"picture")

    assert fetch(host.url("/a.png", "media.example.org")) == b"picture"
    assert host.asked[0].headers["Host"] == f"media.example.org:{host.port}"


@pytest.mark.parametrize("port", [22, 8080, 6379])
def test_ports_other_than_those_of_the_web_are_refused(port: int, names: Names, dialler: Dialler) -> None:
    with pytest.raises(UrlForbidden):
        fetch(f"http://media.example.org:{port}/", allow_private_networks=False)

    assert not names.asked
    assert not dialler.dialled


@pytest.mark.parametrize("name", ["media.example.org", "MEDIA.example.org", "a.example.com", "a.b.example.com"])
def test_a_host_on_the_list_is_fetched_from(host: Host, names: Names, name: str) -> None:
    names[name.lower()] = ["127.0.0.1"]
    host.answers["/"] = content(b"picture")

    assert fetch(host.url("/", name), allowed_image_hosts="media.example.org,*.example.com") == b"picture"


@pytest.mark.parametrize("name", ["example.org", "example.com", "evilexample.com", "media.example.org.evil.net"])
def test_a_host_that_is_not_on_the_list_is_refused(host: Host, name: str, names: Names) -> None:
    with pytest.raises(UrlForbidden):
        fetch(host.url("/", name), allowed_image_hosts="media.example.org,*.example.com")

    assert not names.asked


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


def test_a_name_that_does_not_resolve_is_the_hosts_failure_and_not_asked_for_again(names: Names) -> None:
    with pytest.raises(ImageHostFailed):
        fetch("http://no-such-host.example.org/", allow_private_networks=False)

    assert names.asked == ["no-such-host.example.org"]


def test_the_environment_names_no_proxy(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    host.answers["/"] = content(b"picture")

    assert fetch(host.url("/")) == b"picture"
