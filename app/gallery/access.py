"""Who may see the page: everybody, or who knows the password and has a signed cookie that says so.

The cookie holds nothing but until when it is good. Its key is made of the password and of a token of the service, so
that it is worth nothing once either has changed.
"""

import hmac
import logging
import math
from hashlib import sha256
from time import time

from starlette.requests import Request
from starlette.responses import Response

from app.api.pages import GALLERY
from app.auth import SHORT
from app.config import RateLimit, Settings
from app.errors import RateLimited, Unauthorized

logger = logging.getLogger(__name__)

COOKIE = "tate-gallery"
GOOD_FOR_S = 30 * 24 * 3600
# What a visitor may get wrong, and what all of them may together: guessing has to be hopeless, mistyping harmless.
MISTAKES, ALL_MISTAKES = RateLimit(10, 60), RateLimit(60, 60)


class Access:
    """Lets visitors in."""

    def __init__(self, settings: Settings) -> None:
        self.is_public = settings.gallery_access == "public"
        self._password = settings.gallery_password.encode()
        self._keys = [
            hmac.digest(token.encode(), b"the page's cookie " + self._password, "sha256")
            for token in settings.auth_token
        ]
        self._mistakes = Mistakes()
        if not self.is_public and len(settings.gallery_password) < SHORT:
            logger.warning("GALLERY_PASSWORD is shorter than %d characters; that is easily guessed", SHORT)

    def admits(self, request: Request) -> bool:
        """Whether who asks has been let in."""
        if self.is_public:
            return True
        until, _, signature = request.cookies.get(COOKIE, "").partition(".")
        known = [hmac.compare_digest(signature.encode(), _signed(key, until).encode()) for key in self._keys]
        return any(known) and until.isdecimal() and int(until) > time()

    async def enter(self, request: Request, password: str, response: Response) -> None:
        """Let who asks in by this response, if the password is right.

        Raises:
            Unauthorized: it is wrong.
            RateLimited: too many were wrong; whether this one is isn't looked at.
        """
        visitor = request.client.host if request.client else ""
        await self._mistakes.check(visitor)
        if not hmac.compare_digest(sha256(password.encode()).digest(), sha256(self._password).digest()):
            await self._mistakes.count(visitor)
            raise Unauthorized
        until = str(int(time()) + GOOD_FOR_S)
        response.set_cookie(
            COOKIE,
            f"{until}.{_signed(self._keys[0], until)}",
            max_age=GOOD_FOR_S,
            path=request.scope.get("root_path", "") + GALLERY,
            secure=_came_by_tls(request),
            httponly=True,
            samesite="lax",
        )

    def leave(self, request: Request, response: Response) -> None:
        """Let who asks not in any more."""
        response.delete_cookie(COOKIE, path=request.scope.get("root_path", "") + GALLERY)


class Mistakes:
    """Counts wrong passwords, in windows of time."""

    def __init__(self) -> None:
        from limits import RateLimitItemPerSecond  # which takes a quarter of a second
        from limits.aio.storage import MemoryStorage
        from limits.aio.strategies import FixedWindowRateLimiter

        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._limits = [RateLimitItemPerSecond(*limit) for limit in (MISTAKES, ALL_MISTAKES)]

    async def check(self, visitor: str) -> None:
        """See whether a visitor may try a password.

        Raises:
            RateLimited: not now.
        """
        for limit, who in zip(self._limits, (visitor, "all"), strict=True):
            if not await self._limiter.test(limit, who):
                window = await self._limiter.get_window_stats(limit, who)
                raise RateLimited(max(1, math.ceil(window.reset_time - time())))

    async def count(self, visitor: str) -> None:
        """Count a mistake of a visitor."""
        for limit, who in zip(self._limits, (visitor, "all"), strict=True):
            await self._limiter.hit(limit, who)


def _signed(key: bytes, until: str) -> str:
    return hmac.digest(key, until.encode(), "sha256").hex()


def _came_by_tls(request: Request) -> bool:
    """Whether a browser talks TLS, to us or to a proxy before us: then it shall keep the cookie to that."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
