"""The one fetcher: a URL to the bytes behind it, without a door into the network behind the service.

`urls.py` refuses what can be refused without a look-up, `dial.py` judges every address before it is dialled, both again
at each redirect; `retries.py` says what is tried again. One deadline covers all of it.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import httpcore
import httpx

from app.config import Settings
from app.errors import ImageHostFailed, ImageHostTimeout, ImageNotFound, ImageUnusable, TooLarge, UrlForbidden
from app.images.budget import Take
from app.images.dial import GuardedBackend, NoSuchName
from app.images.retries import TRIES, Clock, Temporary, asked_wait_s, tried
from app.images.urls import UrlRules, shown
from app.telemetry import metrics
from app.telemetry.timings import measured

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 3
MAX_CONNECTIONS = 64
MAX_CONNECTIONS_PER_HOST = 8
KEEP_ALIVE_S = 30.0
REDIRECTS = (301, 302, 303, 307, 308)
# Answers of a host that has the image but not now.
TEMPORARY = (408, 425, 429)
# What is kept of a header is short, and of letters that everybody reads alike.
MAX_KEPT = 256
KEPT = re.compile("[ -~]+")
# Without quotation marks it might be `*` or several, which would match what isn't meant.
ETAG = re.compile('(?:W/)?"[!#-~]*"')


@dataclass(frozen=True)
class Validators:
    """By what a host knows a version of an image."""

    etag: str | None = None
    last_modified: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What asks for an image only if it is another version."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Fetched:
    """What a host gave. `data` is None if it has nothing newer than the version that was asked about."""

    data: bytes | None
    content_type: str | None
    validators: Validators


NOTHING_KNOWN = Validators()


class Fetcher:
    """Fetches images over one pool of connections."""

    def __init__(
        self,
        settings: Settings,
        user_agent: str,
        clock: Clock | None = None,
        passed_on: Callable[[], dict[str, str]] = dict,
    ) -> None:
        """Fetch by these settings; `passed_on` gives headers that the current request has for image hosts."""
        self._rules = UrlRules(settings)
        self._max_bytes = settings.max_image_bytes
        self._timeout_s = settings.fetch_timeout_s
        self._clock = clock or Clock()
        # A host's entry lives as long as somebody fetches from it or waits to.
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        # Not `httpx.AsyncClient`: it parses where a redirect leads even if it isn't to follow it, and brings cookies,
        # netrc and proxies, none of which has a place here.
        self._transport = httpx.AsyncHTTPTransport()
        # httpx has no parameter for this; the pool itself is httpcore's documented one.
        self._transport._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=GuardedBackend(private=settings.allow_private_networks),
        )
        self._headers = {"User-Agent": user_agent, "Accept": "image/*", "Accept-Encoding": "identity"}
        self._passed_on = passed_on
        # An address that doesn't answer leaves time for another, and for another try.
        self._timeout = httpx.Timeout(self._timeout_s, connect=self._timeout_s / TRIES)

    async def fetch(self, url: str, take: Take = lambda _: None) -> bytes:
        """The bytes behind an http(s) URL: what `get` gives who knows nothing yet."""
        data = (await self.get(url, take)).data
        assert data is not None
        return data

    async def get(
        self,
        url: str,
        take: Take = lambda _: None,
        known: Validators | None = None,
        trying: Callable[[], None] = lambda: None,
    ) -> Fetched:
        """What is behind an http(s) URL, if it isn't known already.

        Args:
            url: where it is.
            take: is told of bytes as they arrive, and may refuse them.
            known: the version that the caller has.
            trying: is told of each try; what a redirect leads to is part of one.

        Raises:
            ServiceError: one of those for images, their hosts and URLs.
        """

        async def attempt() -> Fetched:
            trying()
            return await self._attempt(target, take, known or NOTHING_KNOWN)

        with measured("fetch"), metrics.fetching():
            try:
                target = self._rules.admit(url)
                async with asyncio.timeout(self._timeout_s):
                    return await tried(attempt, self._timeout_s, self._clock)
            except UrlForbidden as refused:
                logger.warning("refused %s: %s", shown(url), refused.reason)
                raise
            except (TimeoutError, httpx.TimeoutException):
                raise ImageHostTimeout("The image's host took too long.") from None
            except (httpx.HTTPError, NoSuchName, OSError) as error:
                raise ImageHostFailed("The image's host could not be reached.") from error

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._transport.aclose()

    async def _attempt(self, url: httpx.URL, take: Take, known: Validators) -> Fetched:
        try:
            return await self._follow(url, take, known)
        except httpx.ConnectTimeout as error:
            raise Temporary(ImageHostTimeout("The image's host took too long.")) from error
        except httpx.ConnectError as error:
            if _is_of_tls(error):
                raise
            raise Temporary(ImageHostFailed("The image's host could not be reached.")) from error

    async def _follow(self, url: httpx.URL, take: Take, known: Validators) -> Fetched:
        for redirects in range(MAX_REDIRECTS + 1):
            turn = self._turns.setdefault(url.host, asyncio.Semaphore(MAX_CONNECTIONS_PER_HOST))
            async with turn, self._answer(url, known) as response:
                if response.status_code not in REDIRECTS or "location" not in response.headers:
                    fetched = await self._read(response, take, known)
                    return _without_date(fetched) if redirects else fetched
                location = response.headers["location"]
            url = self._rules.admit_redirect(url, location)
            # An ETag names one version and goes along: who redirects takes no notice of it. A date says nothing where
            # a redirect leads to another image from now on, perhaps an older one.
            known = Validators(etag=known.etag)
        raise ImageUnusable("The image's URL redirects too often.")

    @asynccontextmanager
    async def _answer(self, url: httpx.URL, known: Validators) -> AsyncIterator[httpx.Response]:
        headers = self._headers | self._passed_on() | known.headers
        request = httpx.Request("GET", url, headers=headers, extensions={"timeout": self._timeout.as_dict()})
        response = await self._transport.handle_async_request(request)
        try:
            yield response
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response, take: Take, known: Validators) -> Fetched:
        status = response.status_code
        if status == 304 and known.headers:
            return await _unchanged(response, known)
        if status >= 500 or status in TEMPORARY:
            wait_s = asked_wait_s(response.headers.get("retry-after", ""), self._clock)
            raise Temporary(ImageHostFailed(f"The image's host answered with status {status}."), wait_s)
        if status >= 400:
            raise ImageNotFound(f"The image's host answered with status {status}.")
        if status != 200:
            raise ImageUnusable(f"The image's host answered with status {status}.")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise ImageUnusable("The image's host sent a content encoding that was not asked for.")
        too_large = TooLarge(f"The image has more than {self._max_bytes} bytes.")
        # A claim can only refuse. That it is a number has been checked where the answer was parsed.
        if int(response.headers.get("content-length", 0)) > self._max_bytes:
            raise too_large
        received = bytearray()
        async for chunk in response.aiter_raw():
            received += chunk
            if len(received) > self._max_bytes:
                raise too_large
            take(len(chunk))
        return Fetched(bytes(received), _kept(response, "content-type"), _validators(response))


async def _unchanged(response: httpx.Response, known: Validators) -> Fetched:
    """What a host says of the version that is known; it may have given it another mark."""
    async for _ in response.aiter_raw():
        pass  # such an answer has no body, but only one that was read to its end leaves its connection to others
    news = _validators(response)
    validators = Validators(news.etag or known.etag, news.last_modified or known.last_modified)
    return Fetched(None, _kept(response, "content-type"), validators)


def _validators(response: httpx.Response) -> Validators:
    etag = _kept(response, "etag")
    return Validators(etag if etag and ETAG.fullmatch(etag) else None, _kept(response, "last-modified"))


def _kept(response: httpx.Response, name: str) -> str | None:
    value = response.headers.get(name, "")
    return value if len(value) <= MAX_KEPT and KEPT.fullmatch(value) else None


def _without_date(fetched: Fetched) -> Fetched:
    return replace(fetched, validators=Validators(etag=fetched.validators.etag))


def _is_of_tls(error: BaseException | None) -> bool:
    """Whether a connection failed at its certificate or cipher, which another try won't change."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__context__  # httpcore cuts `__cause__` off
    return error is not None
