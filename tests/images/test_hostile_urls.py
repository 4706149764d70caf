"""URLs made to reach what is behind the service: all are refused, and nothing is dialled."""

import contextlib
import logging
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from app.errors import ImageHostFailed, ImageUnusable, InvalidRequest, UrlForbidden
from app.images.urls import shown
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.images.conftest import PUBLIC, Dialler, Names, fetch
from tests.images.hosts import Host, content, redirect

pytestmark = pytest.mark.usefixtures("_doors_of_this_machine")

# Hosts that need no look-up.
V4 = [
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.1.", "127.255.255.254", "2130706433", "2130706433.",
    "0x7f000001", "0X7F000001", "0x7f.1", "0x7f.0.0.1", "0x7F.0x0.0x0.0x1", "017700000001", "0177.1", "0177.0.0.1",
    "00000177.0.0.1", "127.0.0.01", "0x7f.0.1", "127.0x1", "127.65535", "0", "0.", "0.0.0.0", "00", "0x0", "0.0",
    "0.1.2.3", "10.0.0.1", "10.1", "167772161", "0xa000001", "012.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "192.168.257", "3232235521", "100.64.0.1", "100.127.255.254", "169.254.169.254", "169.254.43518", "2852039166",
    "0xa9fea9fe", "0xa9.254.169.254", "025177524776", "0251.0376.0251.0376", "169.254.170.2", "169.254.170.23",
    "169.254.42.42", "169.254.0.23", "100.100.100.200", "1684301000", "168.63.129.16", "2822734096", "192.0.0.192",
    "192.0.0.1", "192.0.0.9", "192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "192.88.99.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "4294967295", "256.256.256.256", "127.0.0.1.1", "1.2.3.4.5",
    "127.0.0.256", "4294967296", "0x100000000", "08.8.8.8", "0xg.1", "example.1", "example.0x7f", "127.0.0.1.0x",
]  # fmt: skip
V6 = [
    "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::FFFF:10.0.0.1]", "[::ffff:169.254.169.254]", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[::ffff:8.8.8.8]",
    "[::127.0.0.1]", "[::7f00:1]", "[::8.8.8.8]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b::169.254.169.254]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2001:0:53aa:64c:0:fbff:80ff:fffe]", "[2001::1]", "[2001:db8::1]", "[2001:10::1]", "[2001:2::1]", "[3fff::1]",
    "[fc00::1]", "[fd00:ec2::254]", "[fd00:ec2::23]", "[fd20:ce::254]", "[fd00:42::42]", "[fd00:c1::a9fe:a9fe]",
    "[fd00:a9fe:a9fe::1]", "[fd12:3456::1]", "[fe80::1]", "[fe80::a9fe:a9fe]", "[fe80::1%eth0]", "[fe80::1%25eth0]",
    "[fec0::1]", "[ff02::1]", "[ff0e::1]", "[100::1]", "[5f00::1]", "[4000::1]", "[2606:4700::1111%25lo]",
    "[::1%25lo]", "[::1].", "0::1", "[127.0.0.1]", "[v1.127]", "[::g]", "[::1::]", "[]", "[::1 ::1]",
]  # fmt: skip
ODD_NAMES = [
    "１２７.０.０.１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "①②⑦.⓪.⓪.①", "１２７.1",
    "0ｘ7f.1", "127%2e0%2e0%2e1", "%31%32%37.0.0.1", "127.0.0.1%00", "127.0.0.1%2f", "127.0.0.1%0d%0a", "%6cocalhost",
    "local\u00adhost", "local\u200bhost", "exa\u2044mple.org", "a\u2100b.org", "..", "a..b", ".localhost",
    "localhost..", "a_b-.example.org", "-a.example.org", "a b.example.org", "a!b", "a*b", "a$b", "a,b", "a;b", "a'b",
    'a"b', "a|b", "a^b", "a`b", "a{b}", "a<b>", "~", "%", "xn--\u00e9", "a" * 64 + ".org",
    ".".join(["a"] * 140) + ".org",
]  # fmt: skip
WHOLE = [
    "http://user@127.0.0.1/", "http://user:password@example.org/", "http://example.org@127.0.0.1/",
    "http://127.0.0.1@example.org/", "http://example.org:80@127.0.0.1:80/", "http://@127.0.0.1/", "http://:@example.org/",
    "http://a@b@127.0.0.1/", "http://example.org%40127.0.0.1/", "http://example.org\\@127.0.0.1/",
    "http://127.0.0.1\\@example.org/", "http://example.org\\.127.0.0.1/", "http:\\\\127.0.0.1\\", "http:/\\127.0.0.1/",
    "http://\\127.0.0.1/", "http:///127.0.0.1/", "http:127.0.0.1", "http:/127.0.0.1/", "//127.0.0.1/", "127.0.0.1",
    "http://127.0.0.1#@example.org/", "http://127.0.0.1?@example.org/", "http://127.0.0.1;@example.org/",
    "http://127.0.0.1\t/", "http://127.0.\t0.1/", "ht\ntp://127.0.0.1/", "http://127.0.0.1\r\nHost: example.org/",
    "http://example.org\x00.127.0.0.1/", "http://example.org/\r\nX-Injected: 1", "http://\x7f127.0.0.1/",
    " http://127.0.0.1/", "\thttp://127.0.0.1/", "http://127.0.0.1:80\\@example.org:80/", "http://example.org:0/",
    "http://example.org:22/", "http://example.org:8000/", "http://example.org:65616/", "http://example.org:-80/",
    "http://example.org:80:80/", "http://example.org:80a/", "http://example.org:" + "9" * 5000 + "/", "https://example.org:25/",
    "http://[::1", "http://::1]/", "http://[::1]x/", "http://x[::1]/", "http://[[::1]]/", "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd", "ftp://example.org/a.png", "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/",
    "data:image/png;base64,AAAA", "javascript://example.org/", "unix:///var/run/docker.sock", "ldap://127.0.0.1/",
    "ws://example.org/", "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "httpx://example.org/", "https:example.org", "http://",
    "://example.org/", "http://\ud800.example.org/", "http://" + "a" * 70_000 + "/",
]  # fmt: skip
URLS = [f"http://{host}/a.png" for host in (*V4, *V6, *ODD_NAMES)] + WHOLE

# Names whose look-up gives what must not be reached: wildcard DNS, search domains, a name server of an attacker.
BAD_ADDRESSES = [
    "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.20.0.2", "192.168.1.1", "100.64.0.1", "169.254.169.254",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.51.100.1",
    "::1", "::", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "2001:0:1::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1",
]  # fmt: skip
NAMES = ["localhost", "localhost.", "LOCALHOST", "a.localhost", "127.0.0.1.nip.example", "metadata",
         "Ⓛocalhost.example", "bücher.example", "xn--bcher-kva.example", "a_b.example", "example.org."]  # fmt: skip


def test_the_table_is_long() -> None:
    assert len(set(URLS)) >= 120


@pytest.mark.parametrize("url", URLS, ids=lambda url: ascii(url)[:60])
def test_a_hostile_url_is_refused_without_a_look_up_or_a_packet(url: str, names: Names, dialler: Dialler) -> None:
    with pytest.raises((UrlForbidden, InvalidRequest)):
        fetch(url, allow_private_networks=False)

    assert not names.asked
    assert not dialler.dialled


@pytest.mark.parametrize("address", BAD_ADDRESSES)
@pytest.mark.parametrize("among", [(), (PUBLIC,)], ids=["alone", "among-good-ones"])
def test_a_name_is_refused_for_any_bad_address(
    address: str, among: tuple[str, ...], names: Names, dialler: Dialler
) -> None:
    names["media.example.org"] = [*among, address]

    with pytest.raises(UrlForbidden):
        fetch("http://media.example.org/a.png", allow_private_networks=False)

    assert names.asked == ["media.example.org"]
    assert not dialler.dialled


@pytest.mark.parametrize("name", NAMES)
def test_a_name_for_this_machine_is_refused_in_any_spelling(name: str, names: Names, dialler: Dialler) -> None:
    for spelling in (name.lower().removesuffix("."), "xn--bcher-kva.example"):
        names[spelling] = ["127.0.0.1"]

    with pytest.raises((UrlForbidden, InvalidRequest)):
        fetch(f"http://{name}/a.png", allow_private_networks=False)

    assert not dialler.dialled


def test_a_name_whose_address_changes_is_looked_up_once_and_dialled_where_it_was_judged(
    host: Host, names: Names, dialler: Dialler
) -> None:
    names["rebinding.example.org"] = [PUBLIC]
    names.later = {"rebinding.example.org": ["127.0.0.1"]}
    dialler.routes[PUBLIC] = host.port
    host.answers["/a.png"] = content(b"picture")

    assert fetch("http://rebinding.example.org/a.png", allow_private_networks=False) == b"picture"
    assert names.asked == ["rebinding.example.org"]
    assert dialler.dialled == [(PUBLIC, 80)]


def test_a_name_whose_address_changes_is_judged_again_at_a_redirect(host: Host, names: Names, dialler: Dialler) -> None:
    def closing_redirect(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        redirect("/b.png")(request)

    names["rebinding.example.org"] = [PUBLIC]
    names.later = {"rebinding.example.org": ["127.0.0.1"]}
    dialler.routes[PUBLIC] = host.port
    host.answers["/a.png"] = closing_redirect

    with pytest.raises(UrlForbidden):
        fetch("http://rebinding.example.org/a.png", allow_private_networks=False)

    assert dialler.dialled == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "target",
    [
        *(f"http://{f'[{address}]' if ':' in address else address}/" for address in BAD_ADDRESSES),
        "http://2130706433/", "http://0177.0.0.1/", "http://127.0.0.1%2f/", "http://internal.example.org/",
        "//internal.example.org/", "//127.0.0.1/", "http://user@media.example.org/", "http://media.example.org:8000/",
        "http://127.0.0.1\\@media.example.org/", "http://[::1", "file:///etc/passwd", "gopher://127.0.0.1/",
        "data:image/png,a", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_a_redirect_to_anything_bad_is_refused(target: str, host: Host, names: Names, dialler: Dialler) -> None:
    names.update({"media.example.org": [PUBLIC], "internal.example.org": ["10.0.0.1"]})
    dialler.routes[PUBLIC] = host.port
    host.answers["/a.png"] = redirect(target)

    with pytest.raises(UrlForbidden):
        fetch("http://media.example.org/a.png", allow_private_networks=False)

    assert dialler.dialled == [(PUBLIC, 80)]


def test_a_redirect_loop_between_two_hosts_ends(host: Host, names: Names, dialler: Dialler) -> None:
    names.update({"a.example.org": [PUBLIC], "b.example.org": [PUBLIC]})
    dialler.routes[PUBLIC] = host.port
    host.answers |= {"/a": redirect("http://b.example.org/b"), "/b": redirect("http://a.example.org/a")}

    with pytest.raises(ImageUnusable):
        fetch("http://a.example.org/a", allow_private_networks=False)

    assert len(host.asked) == 4


def test_a_redirect_to_a_host_that_is_not_on_the_list_is_refused(host: Host, names: Names) -> None:
    names.update({"media.example.org": ["127.0.0.1"], "other.example.org": ["127.0.0.1"]})
    host.answers["/"] = redirect(host.url("/", "other.example.org"))

    with pytest.raises(UrlForbidden):
        fetch(host.url("/", "media.example.org"), allowed_image_hosts="media.example.org")

    assert names.asked == ["media.example.org"]


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fd00:42::42", "192.0.2.1",
                                     "::ffff:10.0.0.1", "224.0.0.1", "0.0.0.0", "240.0.0.1"])  # fmt: skip
def test_private_networks_open_nothing_but_private_networks(address: str, names: Names, dialler: Dialler) -> None:
    names["media.example.org"] = [address]

    for url in (f"http://{f'[{address}]' if ':' in address else address}/", "http://media.example.org/"):
        with pytest.raises(UrlForbidden):
            fetch(url)

    assert not dialler.dialled


@pytest.mark.parametrize("port", ["0", "65536", "-1", "99999999"])
def test_a_port_that_is_none_is_refused_on_private_networks_too(port: str, dialler: Dialler) -> None:
    with pytest.raises((UrlForbidden, InvalidRequest)):
        fetch(f"http://127.0.0.1:{port}/")

    assert not dialler.dialled


@pytest.mark.parametrize(
    ("url", "dialled"),
    [
        ("http://8.8.8.8/", "8.8.8.8"),
        ("http://134744072/", "8.8.8.8"),
        ("http://0x8.8.2056/", "8.8.8.8"),
        ("http://[2606:4700:0::1111]/", "2606:4700::1111"),
        ("http://MEDIA.example.org./", PUBLIC),
        ("http://media．example。org/", PUBLIC),
        ("http://media.example.org:８０/", PUBLIC),
    ],
)
def test_an_odd_spelling_of_what_is_allowed_is_put_right_before_it_is_dialled(
    url: str, dialled: str, names: Names, dialler: Dialler
) -> None:
    names["media.example.org"] = [PUBLIC]

    with pytest.raises(ImageHostFailed):
        fetch(url, allow_private_networks=False)

    assert set(dialler.dialled) == {(dialled, 80)}


def test_every_refusal_says_the_same(names: Names) -> None:
    names.update({"a.example.org": ["127.0.0.1"], "b.example.org": ["169.254.169.254"]})
    urls = ["http://a.example.org/", "http://b.example.org/", "http://[::1]/", "http://example.org:22/", "ftp://a/"]

    said = set()
    for url in urls:
        with pytest.raises(UrlForbidden) as refused:
            fetch(url, allow_private_networks=False)
        said.add((refused.value.status, refused.value.code, refused.value.detail))

    assert said == {(422, "url_forbidden", "This URL is not allowed.")}


def test_the_log_says_why_and_leaves_out_what_is_secret(names: Names, caplog: pytest.LogCaptureFixture) -> None:
    names["media.example.org"] = ["10.0.0.1"]

    with caplog.at_level(logging.WARNING), pytest.raises(UrlForbidden):
        fetch("http://media.example.org/a.png?signature=secret#part", allow_private_networks=False)

    assert caplog.messages == [
        "refused http://media.example.org/a.png: media.example.org is 10.0.0.1, which is private"
    ]


def test_the_log_leaves_out_user_info(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(UrlForbidden):
        fetch("http://user:password@media.example.org/")

    assert caplog.messages == ["refused http://media.example.org/: user info"]


def test_what_is_no_url_is_not_shown() -> None:
    assert shown("http://[::1") == "no URL"


HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=4).map(lambda ip: str(int(ip))),
    st.ip_addresses(v=4).map(lambda ip: hex(int(ip))),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=4).map(lambda ip: f"[::ffff:{ip}]"),
    st.sampled_from(BAD_ADDRESSES).map(lambda address: f"[{address}]" if ":" in address else address),
    st.from_regex(r"[a-z0-9.\-]{1,20}", fullmatch=True),
    st.text(max_size=20),
)
ENDS = st.sampled_from(["/", "", "@example.org/", "\\@example.org/", ":80/", ":443", "#@example.org", "?@a/", ":22/"])
STARTS = st.sampled_from(["http://", "https://", "http://a@", "http://a\\@", "http:/", "HTTP://", "ftp://", ""])


@given(
    url=st.tuples(STARTS, HOSTS, ENDS).map("".join),
    addresses=st.lists(st.one_of(st.ip_addresses().map(str), st.sampled_from(BAD_ADDRESSES)), max_size=3),
)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_url_reaches_the_dialler_with_an_address_that_is_not_public(
    url: str, addresses: list[str], names: Names, dialler: Dialler
) -> None:
    dialler.dialled.clear()
    names.of_every_name = addresses

    with contextlib.suppress(UrlForbidden, InvalidRequest, ImageHostFailed):
        fetch(url, allow_private_networks=False)

    assert all(_is_public(address) and port in (80, 443) for address, port in dialler.dialled)


def _is_public(address: str) -> bool:
    """What the standard library says, as an opinion independent of ours."""
    ip: Any = ip_address(address)
    hidden = isinstance(ip, IPv6Address) and (ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip.is_site_local)
    odd = ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback or ip.is_link_local or ip.is_private
    return isinstance(ip, IPv4Address | IPv6Address) and ip.is_global and not hidden and not odd
