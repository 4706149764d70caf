"""Who may call: checked on the route itself, before a byte of the body is read."""

import logging
from collections.abc import Callable, Coroutine, Iterable
from hashlib import sha256
from hmac import compare_digest
from typing import Any, ClassVar, Literal

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Scope

from app.config import Settings
from app.errors import SettingsError, Unauthorized

logger = logging.getLogger(__name__)

SHORT = 16
# What OpenAPI calls this way to authenticate.
SCHEME = "HTTPBearer"

# What a token may be for: the work of the service, changes of an index, the figures of the service.
Purpose = Literal["work", "admin", "metrics"]


class Tokens:
    """Shared secrets. Only their digests are kept, and every one of them is compared on every call."""

    def __init__(self, secrets: Iterable[str], variable: str = "AUTH_TOKEN") -> None:
        secrets = tuple(secrets)
        if any(len(secret) < SHORT for secret in secrets):
            logger.warning("%s is shorter than %d characters; that is fit for development only", variable, SHORT)
        self._digests = [sha256(secret.encode()).digest() for secret in secrets]

    def recognise(self, authorization: bytes | None) -> bytes | None:
        """The digest of the secret that an Authorization header, as it came over the wire, carries; None if of none."""
        scheme, _, token = (authorization or b"").partition(b" ")
        given = sha256(token.strip()).digest()
        matches = [compare_digest(given, digest) for digest in self._digests]
        return given if scheme.lower() == b"bearer" and any(matches) else None


def tokens_of(settings: Settings) -> dict[Purpose, Tokens]:
    """The tokens for each purpose. `AUTH_TOKEN` serves those that have none of their own.

    Raises:
        SettingsError: there is no `AUTH_TOKEN`.
    """
    if not settings.auth_token:
        raise SettingsError(
            "AUTH_TOKEN is missing: the service needs a shared secret. "
            "Example: AUTH_TOKEN=<the output of: openssl rand -hex 32>"
        )
    work = Tokens(settings.auth_token)
    admin = Tokens(settings.admin_token, "ADMIN_TOKEN") if settings.admin_token else work
    metrics = Tokens(settings.metrics_token, "METRICS_TOKEN") if settings.metrics_token else work
    return {"work": work, "admin": admin, "metrics": metrics}


def authorization(scope: Scope) -> bytes | None:
    """A request's Authorization header, if it has exactly one."""
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    return headers[0] if len(headers) == 1 else None


class AuthenticatedRoute(APIRoute):
    """A route that asks for a bearer token first. FastAPI would parse the body before any dependency runs."""

    purpose: ClassVar[Purpose] = "work"

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.openapi_extra = {**(self.openapi_extra or {}), "security": [{SCHEME: []}]}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_if_authorized(request: Request) -> Response:
            tokens: Tokens = request.app.state.tokens[self.purpose]
            token = tokens.recognise(authorization(request.scope))
            if token is None:
                raise Unauthorized
            request.scope["token"] = token
            return await handle(request)

        return handle_if_authorized


class AdminRoute(AuthenticatedRoute):
    """A route that changes what is stored, for those with an `ADMIN_TOKEN`."""

    purpose = "admin"


class MetricsRoute(AuthenticatedRoute):
    """A route that tells the service's figures, for those with a `METRICS_TOKEN`."""

    purpose = "metrics"
