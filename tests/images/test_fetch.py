"""The fetcher against real sockets on loopback: what is dialled, what is followed, what is read."""

import asyncio
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest
from app.config import Settings
from app.errors import ImageHostFailed, ImageHostTimeout, ImageUnusable, Overloaded, TooLarge, UrlForbidden
from app.images.fetch import MAX_REDIRECTS, Fetched, Fetcher, Validators

from tests.images.conftest import PUBLIC, Dialler, Names, fetch
from tests.images.hosts import Answer, Host, content, redirect

ETAG = '"5f3a"'
MONDAY = "Mon, 16 Nov 2026 12:00:00 GMT"
TUESDAY = "Tue, 17 Nov 2026 12:00:00 GMT"
KNOWN = Validators(ETAG, MONDAY)
CONDITIONS = ("If-None-Match", "If-Modified-Since")


def get(*urls: str, known: Validators | None = None, trying: Callable[[], None] = lambda: None) -> Fetched:
    """What the last of some URLs gives, asked for with one fetcher."""

    async def run() -> Fetched:
        fetcher = Fetcher(Settings.load(allow_private_networks=True), "tate-embeddings/test")
        try:
            return [await fetcher.get(url, known=known, trying=trying) for url in urls][-1]
        finally:
            await fetcher.close()

    return asyncio.run(run())


def unchanged(**headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(304)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()

    return answer


def conditions(request: BaseHTTPRequestHandler) -> tuple[str | None, ...]:
    return tuple(request.headers[name] for name in CONDITIONS)


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


def test_with_the_bytes_comes_what_their_host_says_of_them(host: Host) -> None:
    host.answers["/"] = content(b"picture", Content_Type="image/png", ETag=ETAG, Last_Modified=MONDAY)

    assert get(host.url("/")) == Fetched(b"picture", "image/png", KNOWN)


def test_a_host_that_says_nothing_of_its_bytes_gives_them_all_the_same(host: Host) -> None:
    host.answers["/"] = content(b"picture")

    assert get(host.url("/")) == Fetched(b"picture", None, Validators())


@pytest.mark.parametrize(
    ("known", "sent"),
    [
        (KNOWN, (ETAG, MONDAY)),
        (Validators(etag=ETAG), (ETAG, None)),
        (Validators(last_modified=MONDAY), (None, MONDAY)),
    ],
)
def test_a_host_is_asked_whether_it_has_another_version(
    known: Validators, sent: tuple[str | None, ...], host: Host
) -> None:
    host.answers["/"] = unchanged()

    assert get(host.url("/"), known=known) == Fetched(None, None, known)
    assert conditions(host.asked[0]) == sent


def test_another_version_comes_with_what_it_is_known_by(host: Host) -> None:
    host.answers["/"] = content(b"another", ETag='W/"6"')

    assert get(host.url("/"), known=KNOWN) == Fetched(b"another", None, Validators('W/"6"'))


def test_a_version_that_is_known_may_get_another_mark(host: Host) -> None:
    host.answers["/"] = unchanged(Last_Modified=TUESDAY, Content_Type="image/png")

    assert get(host.url("/"), known=KNOWN) == Fetched(None, "image/png", Validators(ETAG, TUESDAY))


@pytest.mark.parametrize("known", [None, Validators()])
def test_nothing_new_is_no_answer_to_who_knows_nothing(known: Validators | None, host: Host) -> None:
    host.answers["/"] = unchanged(ETag=ETAG)

    with pytest.raises(ImageUnusable, match="304"):
        get(host.url("/"), known=known)


def test_the_service_asks_for_images_without_conditions(host: Host) -> None:
    host.answers["/"] = content(b"picture", ETag=ETAG, Last_Modified=MONDAY)

    assert [fetch(host.url("/")), fetch(host.url("/"))] == [b"picture"] * 2
    assert [conditions(request) for request in host.asked] == [(None, None)] * 2


@pytest.mark.parametrize(
    "etag",
    ['"%s"' % ("a" * 255), "*", '"a", "b"', "5f3a", '"a b"', '"\u00e9"', '"a', '"\t"', 'w/"a"', ""],
)  # fmt: skip
def test_an_etag_that_is_none_or_has_no_end_is_not_kept(etag: str, host: Host) -> None:
    host.answers["/"] = content(b"picture", ETag=etag, Last_Modified=MONDAY)

    assert get(host.url("/")).validators == Validators(last_modified=MONDAY)


@pytest.mark.parametrize("etag", ['"%s"' % ("a" * 254), '""', 'W/"a"', '"!#$%&\'*,;~"'])
def test_an_etag_as_hosts_write_them_is_kept(etag: str, host: Host) -> None:
    host.answers["/"] = content(b"picture", ETag=etag)

    assert get(host.url("/")).validators == Validators(etag)


@pytest.mark.parametrize("value", ["a" * 257, "caf\u00e9", ""])
def test_headers_that_are_long_or_no_plain_text_are_not_kept(value: str, host: Host) -> None:
    host.answers["/"] = content(b"picture", Content_Type=value, Last_Modified=value)

    assert get(host.url("/")) == Fetched(b"picture", None, Validators())


def test_an_etag_goes_along_with_a_redirect_and_a_date_does_not(host: Host) -> None:
    host.answers |= {"/": redirect("/a.png"), "/a.png": unchanged(Last_Modified=MONDAY)}

    assert get(host.url("/"), known=KNOWN) == Fetched(None, None, Validators(ETAG))
    assert [conditions(request) for request in host.asked] == [(ETAG, MONDAY), (ETAG, None)]


def test_what_comes_by_a_redirect_is_known_by_its_etag_alone(host: Host) -> None:
    host.answers |= {"/": redirect("/a.png"), "/a.png": content(b"picture", ETag=ETAG, Last_Modified=MONDAY)}

    assert get(host.url("/")).validators == Validators(ETAG)


def test_a_date_does_not_hold_where_a_redirect_leads(host: Host) -> None:
    host.answers |= {"/": redirect("/a.png"), "/a.png": unchanged()}

    with pytest.raises(ImageUnusable, match="304"):
        get(host.url("/"), known=Validators(last_modified=MONDAY))


def test_tries_are_told_and_redirects_are_not(host: Host) -> None:
    def recovering(request: BaseHTTPRequestHandler) -> None:
        host.answers["/a.png"] = content(b"picture")
        request.send_error(503)

    host.answers |= {"/": redirect("/a.png"), "/a.png": recovering}
    tries: list[int] = []

    assert get(host.url("/"), trying=lambda: tries.append(len(host.asked))).data == b"picture"
    assert tries == [0, 2]


def test_of_a_url_that_is_refused_no_try_is_told(host: Host) -> None:
    tries: list[None] = []

    with pytest.raises(UrlForbidden):
        get("ftp://127.0.0.1/a.png", trying=lambda: tries.append(None))

    assert not tries


def test_each_try_asks_on_the_same_conditions(host: Host) -> None:
    def recovering(request: BaseHTTPRequestHandler) -> None:
        host.answers["/"] = unchanged()
        request.send_error(503)

    host.answers["/"] = recovering

    assert get(host.url("/"), known=KNOWN).data is None
    assert [conditions(request) for request in host.asked] == [(ETAG, MONDAY)] * 2


def test_an_answer_that_nothing_is_new_leaves_its_connection_to_others(host: Host) -> None:
    def persistent(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.close_connection = False
        unchanged()(request)

    host.answers["/"] = persistent

    get(*[host.url("/")] * 3, known=KNOWN)

    assert len({request.client_address for request in host.asked}) == 1
