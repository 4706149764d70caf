"""How many requests a token may make."""

import math
from collections.abc import Callable, Coroutine
from time import time
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.config import RateLimit
from app.errors import RateLimited


class Rates:
    """Counts the requests of each token, in windows of time that begin with a request.

    Args:
        limit: of the whole service.
        workers: how many share it; each takes an equal part.
    """

    def __init__(self, limit: RateLimit, workers: int = 1) -> None:
        # Most services have no limit, and a quarter of a second less to start without these.
        from limits import RateLimitItemPerSecond
        from limits.aio.storage import MemoryStorage
        from limits.aio.strategies import FixedWindowRateLimiter

        # The storage without `aio` would start a thread for every other request that it counts.
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        # A part below one request is one request, and then a longer window.
        requests = max(1, limit.requests // workers)
        stretch = max(1.0, workers / limit.requests)
        self._limit = RateLimitItemPerSecond(requests, math.ceil(limit.seconds * stretch))

    async def count(self, token: str) -> None:
        """Count a request.

        Raises:
            RateLimited: it is one too many.
        """
        if not await self._limiter.hit(self._limit, token):
            window = await self._limiter.get_window_stats(self._limit, token)
            raise RateLimited(max(1, math.ceil(window.reset_time - time())))


class RatedRoute(APIRoute):
    """A route whose requests are counted, once it is known whose they are. What only asks (GET) is free."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.methods == {"GET"}:
            return handle

        async def handle_if_within_limit(request: Request) -> Response:
            rates: Rates | None = request.app.state.rates
            if rates is not None:
                await rates.count(request.scope["token"].hex())
            return await handle(request)

        return handle_if_within_limit
