"""How much may come in as a body: refused by what it claims to be before it is read, and by its size while it is."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Message

from app.api.services import Services
from app.errors import TooLarge, UndecodableBody
from app.images.budget import Take


class BoundedRoute(APIRoute):
    """A route that gives work, unless the service is stopping, in a body that is bounded by `MAX_BODY_BYTES`.

    Its routes read their bodies themselves: what FastAPI is told of, it reads before anything else is looked at.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            services: Services = request.app.state.services
            services.embedder.check_open()
            try:
                return await handle(bounded(request, services.settings.max_body_bytes, "body"))
            except ClientDisconnect:
                raise UndecodableBody("The body broke off.") from None

        return handle_bounded


def content_type(request: Request) -> str:
    """A body's content type without its parameters. A body that names none is taken for JSON."""
    return request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()


def is_json(request: Request) -> bool:
    """Whether a body is JSON, by any of its names."""
    kind = content_type(request)
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def not_too_many(items: int, most: int) -> None:
    """Check a list's length.

    Raises:
        TooLarge: there are more items than a request may have.
    """
    if items > most:
        raise TooLarge(f"At most {most} items may come in one request.")


def bounded(request: Request, limit: int, what: str) -> Request:
    """The same request; reading its body raises `TooLarge` at the limit, whatever length it claims."""
    too_large = TooLarge(f"The {what} has more than {limit} bytes.")
    claimed = request.headers.get("content-length", "")
    received = 0

    async def receive() -> Message:
        nonlocal received
        if claimed.isdecimal() and int(claimed) > limit:
            raise too_large
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise too_large
        return message

    return Request(request.scope, receive, request._send)


def metered(request: Request, take: Take, free: int = 0) -> Request:
    """The same request; reading its body takes the bytes from a budget as they arrive, but for the first so many."""
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        before = max(received, free)
        received += len(message.get("body", b""))
        take(max(0, received - before))
        return message

    return Request(request.scope, receive, request._send)
