"""A live instance, called over HTTP as its callers do."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from time import monotonic, perf_counter, sleep
from typing import Any

import httpx

from app.errors import InstanceUnusable
from app.serving import State

PACE_S = 0.5
LATER = 500  # statuses from here on may be a proxy's, whose instance is still starting


class Surprise(Exception):
    """An instance doesn't do what it should; the message says what it does instead."""


@dataclass(frozen=True)
class Answer:
    """An answer; `body` is its JSON, or None if it has none."""

    status: int
    headers: httpx.Headers
    body: Any
    ms: float


class Instance:
    """An instance that may not be there yet. Close it."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._http = httpx.Client(base_url=_address(url), auth=bearer(token), timeout=timeout_s)
        self.url = str(self._http.base_url).rstrip("/")

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def ask(self, method: str, path: str, **request: Any) -> Answer:
        """Send a request, with the token unless `auth` says otherwise.

        Raises:
            Surprise: there is no answer.
        """
        started = perf_counter()
        try:
            response = self._http.request(method, path, **request)
        except httpx.RequestError as error:
            raise Surprise(f"no answer ({_reason(error)})") from None
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        return Answer(response.status_code, response.headers, body, (perf_counter() - started) * 1000)

    def wait(self, say: Callable[[str], None]) -> dict[str, Any]:
        """What `/health` says once it is healthy.

        Raises:
            InstanceUnusable: it isn't in time, or what answers is something else.
        """
        deadline = monotonic() + self._timeout_s
        said = ""
        while True:
            state, health = self._health()
            left_s = deadline - monotonic()
            if state == State.HEALTHY:
                return health
            if left_s <= 0:
                raise InstanceUnusable(f"{self.url} is not ready after {self._timeout_s:g} seconds: {state}")
            if state != said:
                say(f"waiting up to {left_s:.0f} s for {self.url}/health: {state}")
                said = state
            sleep(min(PACE_S, left_s))

    def _health(self) -> tuple[str, dict[str, Any]]:
        try:
            answer = self.ask("GET", "/health", auth=None)
        except Surprise as nothing:
            return str(nothing), {}
        body = answer.body
        if answer.status in (200, 503) and isinstance(body, dict) and {"status", "space"} <= set(body):
            return str(body["status"]), body
        if answer.status >= LATER:
            return f"status {answer.status}", {}
        leads = f", which leads to {answer.headers['location']}" if "location" in answer.headers else ""
        raise InstanceUnusable(
            f"{self.url} answers, but not as tate-embeddings does: /health has status {answer.status}{leads}"
        )


def bearer(token: str) -> httpx.Auth:
    """What puts a token on a request.

    Raises:
        InstanceUnusable: no header can hold it.
    """
    if not token:
        raise InstanceUnusable("a token is needed: --token, or AUTH_TOKEN")
    if not token.isprintable():
        raise InstanceUnusable("the token has characters that no header can hold")
    return _Bearer(token)


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._value = b"Bearer " + token.encode(errors="replace")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers.update({b"Authorization": self._value})
        yield request


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        address = httpx.URL()
    ordinary = address.scheme in ("http", "https") and address.host and 0 < (address.port or 80) <= 65535
    # User info would be sent in place of the token.
    if not ordinary or address.userinfo or address.query or address.fragment:
        raise InstanceUnusable(f"{url} is no address of an instance; one is like https://embeddings.example.org")
    return address


def _reason(error: httpx.RequestError) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
