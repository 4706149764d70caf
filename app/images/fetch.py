"""The one fetcher: a URL to the bytes behind it, without a door into the network behind the service.

A name is resolved once, every answer is judged, and a judged address is dialled; again at each redirect.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from app.config import Settings
from app.errors import (
    ImageHostFailed,
    ImageHostTimeout,
    ImageNotFound,
    ImageUnusable,
    InvalidRequest,
    TooLarge,
    UrlForbidden,
)
from app.images.addresses import is_allowed
from app.telemetry.timings import measured

MAX_REDIRECTS = 3
MAX_CONNECTIONS = 64
KEEP_ALIVE_S = 30.0
PUBLIC_PORTS = (None, 80, 443)  # None is the scheme's own
REDIRECTS = (301, 302, 303, 307, 308)
# Answers of a host that has the image but not now.
TEMPORARY = (408, 425, 429)


class Fetcher:
    """Fetches images over one pool of connections."""

    def __init__(self, settings: Settings, user_agent: str) -> None:
        self._private = settings.allow_private_networks
        self._hosts = tuple(host.lower() for host in settings.allowed_image_hosts)
        self._max_bytes = settings.max_image_bytes
        self._timeout_s = settings.fetch_timeout_s
        transport = httpx.AsyncHTTPTransport()
        # httpx has no parameter for this; the pool itself is httpcore's documented one.
        transport._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=_GuardedBackend(self._private),
        )
        self._client = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=self._timeout_s,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
        )

    async def fetch(self, url: str) -> bytes:
        """The bytes behind an http(s) URL.

        Raises:
            ServiceError: one of those for images, their hosts and URLs.
        """
        target = _parsed(url)
        with measured("fetch"):
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._follow(target)
            except (TimeoutError, httpx.TimeoutException):
                raise ImageHostTimeout("The image's host took too long.") from None
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ssl.SSLError) as error:
                raise ImageHostFailed("The image's host could not be reached.") from error

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._client.aclose()

    async def _follow(self, url: httpx.URL) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            self._judge(url)
            async with self._client.stream("GET", url) as response:
                if response.status_code not in REDIRECTS or "location" not in response.headers:
                    return await self._read(response)
                following = url.join(response.headers["location"])
            if (url.scheme, following.scheme) == ("https", "http"):
                raise UrlForbidden
            url = following
        raise ImageUnusable("The image's URL redirects too often.")

    def _judge(self, url: httpx.URL) -> None:
        """Refuse what can be refused without asking a name server."""
        host = url.host.rstrip(".").lower()
        if url.scheme not in ("http", "https") or url.userinfo or not host:
            raise UrlForbidden
        if not self._private and url.port not in PUBLIC_PORTS:
            raise UrlForbidden
        if self._hosts and not any(_matches(host, pattern) for pattern in self._hosts):
            raise UrlForbidden
        literal = _literal(host)
        if literal is not None and not is_allowed(literal, private=self._private):
            raise UrlForbidden

    async def _read(self, response: httpx.Response) -> bytes:
        status = response.status_code
        if status >= 500 or status in TEMPORARY:
            raise ImageHostFailed(f"The image's host answered with status {status}.")
        if status >= 400:
            raise ImageNotFound(f"The image's host answered with status {status}.")
        if status != 200:
            raise ImageUnusable(f"The image's host answered with status {status}.")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise ImageUnusable("The image's host sent a content encoding that was not asked for.")
        received = bytearray()
        async for chunk in response.aiter_raw():
            received += chunk
            if len(received) > self._max_bytes:
                raise TooLarge(f"The image has more than {self._max_bytes} bytes.")
        return bytes(received)


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves names itself, so that the addresses judged are the addresses dialled."""

    def __init__(self, private: bool) -> None:
        self._private = private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("no such name") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not all(is_allowed(address, private=self._private) for address in addresses):
            raise UrlForbidden
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise UrlForbidden

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise InvalidRequest("'url' is not a URL.") from None
    if "://" not in url or not parsed.scheme:
        raise InvalidRequest("'url' must be an absolute http or https URL.")
    if parsed.scheme in ("http", "https") and not parsed.host:
        raise InvalidRequest("'url' names no host.")
    return parsed


def _literal(host: str) -> str | None:
    """The address that a host is when it needs no name server: `127.0.0.1`, `0x7f.1` and `2130706433` alike."""
    if ":" in host:
        return host.strip("[]").partition("%")[0]
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
