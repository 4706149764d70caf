"""URLs of images: parsed by one parser, normalised once, and refused without asking a name server where that can be.

What comes out is what is dialled: its host is an address in its usual form or a plain name, with nothing in it that
another parser could read otherwise.
"""

import re
import socket
from ipaddress import IPv6Address, ip_address

import httpx

from app.config import Settings
from app.errors import InvalidRequest, UrlForbidden
from app.images.addresses import refusal

SCHEMES = ("http", "https")
PUBLIC_PORTS = (None, 80, 443)  # None is the scheme's own
LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
# No top-level domain is a number: such a name is an address in some spelling, or nothing.
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
MAX_NAME = 253


class UrlRules:
    """Which URLs may be fetched, as far as can be told without a look-up."""

    def __init__(self, settings: Settings) -> None:
        self._private = settings.allow_private_networks
        self._hosts = tuple(host.lower() for host in settings.allowed_image_hosts)

    def admit(self, url: str) -> httpx.URL:
        """The URL that a caller sent, normalised.

        Raises:
            InvalidRequest: it isn't an absolute URL.
            UrlForbidden: it isn't allowed.
        """
        parsed = _parsed(url)
        if "://" not in url or not parsed.scheme:
            raise InvalidRequest("'url' must be an absolute http or https URL.")
        if parsed.scheme in SCHEMES and not parsed.host:
            raise InvalidRequest("'url' names no host.")
        return self._judged(parsed)

    def admit_redirect(self, url: httpx.URL, location: str) -> httpx.URL:
        """Where a redirect from `url` leads, judged like what a caller sends.

        Raises:
            UrlForbidden: it isn't allowed, or is no URL.
        """
        try:
            following = self._judged(_parsed(location, base=url))
        except InvalidRequest:
            raise UrlForbidden(f"a redirect from {url.host} to what is no URL") from None
        if (url.scheme, following.scheme) == ("https", "http"):
            raise UrlForbidden(f"a redirect from https to http at {url.host}")
        return following

    def _judged(self, url: httpx.URL) -> httpx.URL:
        if url.scheme not in SCHEMES:
            raise UrlForbidden(f"scheme {url.scheme}")
        if url.userinfo:
            raise UrlForbidden("user info")
        host = _host(url.host)
        if url.port not in PUBLIC_PORTS and not (self._private and 0 < (url.port or 0) <= 65535):
            raise UrlForbidden(f"port {url.port} of {host}")
        if self._hosts and not any(_matches(host, pattern) for pattern in self._hosts):
            raise UrlForbidden(f"{host} is not in ALLOWED_IMAGE_HOSTS")
        if _is_address(host) and (found := refusal(host, private=self._private)):
            raise UrlForbidden(f"{host} is {found}")
        return url.copy_with(host=host, fragment=None)


def shown(url: str) -> str:
    """A URL for the log: without user info and query string, and not without end.

    Of one that isn't http(s), or whose host is none, only the scheme: what follows may be user info too.
    """
    try:
        parsed = _parsed(url)
    except InvalidRequest:
        return "no URL"
    plain = NAME.fullmatch(parsed.host.removesuffix(".")) or _is_address(parsed.host)
    if parsed.scheme not in SCHEMES or not plain:
        return f"{parsed.scheme}:"
    return str(parsed.copy_with(userinfo=b"", query=None, fragment=None))[:200]


def _parsed(url: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        # Joining parses with another parser in between, so what comes out is judged, and never what went in.
        return httpx.URL(url) if base is None else base.join(url)
    except (httpx.InvalidURL, ValueError):
        raise InvalidRequest("'url' is not a URL.") from None


def _host(host: str) -> str:
    """A host as it is dialled: an address in its usual form (`0x7f.1` and `2130706433` too) or a plain name."""
    if ":" in host:
        if "%" in host:
            raise UrlForbidden("an address with a zone")
        return str(IPv6Address(host))
    name = host.removesuffix(".")
    if len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise UrlForbidden("a host that is neither a name nor an address")
    if not NUMBER.fullmatch(name.rpartition(".")[2]):
        return name
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        raise UrlForbidden(f"{name} is a number, but no address") from None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
