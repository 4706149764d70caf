"""Who may call: checked on the route itself, before a byte of the body is read."""

import logging
from collections.abc import Callable, Coroutine, Iterable
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Scope

from app.errors import SettingsError, Unauthorized

logger = logging.getLogger(__name__)

SHORT = 16
# What OpenAPI calls this way to authenticate.
SCHEME = "HTTPBearer"


class Tokens:
    """The shared secrets. Only their digests are kept, and every one of them is compared on every call."""

    def __init__(self, secrets: Iterable[str]) -> None:
        secrets = tuple(secrets)
        if any(len(secret) < SHORT for secret in secrets):
            logger.warning("AUTH_TOKEN is shorter than %d characters; that is fit for development only", SHORT)
        self._digests = [sha256(secret.encode()).digest() for secret in secrets]
        if not self._digests:
            raise SettingsError(
                "AUTH_TOKEN is missing: the service needs a shared secret. "
                "Example: AUTH_TOKEN=<the output of: openssl rand -hex 32>"
            )

    def accept(self, authorization: bytes | None) -> bool:
        """Whether an Authorization header, as it came over the wire, carries one of the secrets."""
        scheme, _, token = (authorization or b"").partition(b" ")
        given = sha256(token.strip()).digest()
        matches = [compare_digest(given, digest) for digest in self._digests]
        return scheme.lower() == b"bearer" and any(matches)


def authorization(scope: Scope) -> bytes | None:
    """A request's Authorization header, if it has exactly one."""
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    return headers[0] if len(headers) == 1 else None


class AuthenticatedRoute(APIRoute):
    """A route that asks for a bearer token first. FastAPI would parse the body before any dependency runs."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.openapi_extra = {**(self.openapi_extra or {}), "security": [{SCHEME: []}]}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_if_authorized(request: Request) -> Response:
            tokens: Tokens = request.app.state.tokens
            if not tokens.accept(authorization(request.scope)):
                raise Unauthorized
            return await handle(request)

        return handle_if_authorized
