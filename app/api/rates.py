"""How many requests a token may make."""

import math
from collections.abc import Callable, Coroutine
from time import monotonic_ns
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.config import RateLimit
from app.errors import RateLimited

# Time is counted in these: fractions of seconds would add up to a request too few.
NANOSECONDS = 1_000_000_000


class Rates:
    """Counts the requests of each token: as many as the limit says at once, and then one whenever its time has come.

    The `limits` package, which knows how limits are written, would start a thread for every other request that it
    counts: 200 to 400 microseconds each, where this takes one.

    Args:
        limit: of the whole service.
        workers: how many share it; each takes an equal part.
    """

    def __init__(self, limit: RateLimit, workers: int = 1) -> None:
        period = limit.seconds * NANOSECONDS
        self._pause = period * workers // limit.requests
        # A part below one request is one request, and then a longer pause.
        self._ahead = max(0, period - self._pause)
        # When the requests of a token would be over, had they come one by one. There are as many as there are tokens.
        self._until: dict[bytes, int] = {}

    def count(self, token: bytes) -> None:
        """Count a request.

        Raises:
            RateLimited: it is one too many, and isn't counted.
        """
        now = monotonic_ns()
        until = max(self._until.get(token, now), now)
        wait = until - now - self._ahead
        if wait > 0:
            raise RateLimited(math.ceil(wait / NANOSECONDS))
        self._until[token] = until + self._pause


class RatedRoute(APIRoute):
    """A route whose requests are counted, once it is known whose they are. What only asks (GET) is free."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.methods == {"GET"}:
            return handle

        async def handle_if_within_limit(request: Request) -> Response:
            rates: Rates | None = request.app.state.rates
            if rates is not None:
                rates.count(request.scope["token"])
            return await handle(request)

        return handle_if_within_limit
