"""How much may come in as a body, and what: refused by content type before it is read, and by size while it is."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from app.errors import ServiceError, TooLarge, UndecodableBody, UnsupportedMediaType
from app.images.budget import Take


class BoundedRoute(APIRoute):
    """A route whose body is bounded by `MAX_BODY_BYTES`.

    What a route declares to FastAPI as its body has to come as JSON. A route that declares none and reads its body
    itself says itself which content types it takes.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            if self.body_field is not None and not is_json(request):
                raise UnsupportedMediaType("Send the body as 'Content-Type: application/json'.")
            limit: int = request.app.state.services.settings.max_body_bytes
            try:
                return await handle(bounded(request, limit, "body"))
            except ClientDisconnect:
                raise UndecodableBody("The body broke off.") from None
            except HTTPException as error:
                # FastAPI turns whatever goes wrong while it reads a body into one of these.
                if isinstance(error.__cause__, ServiceError):
                    raise error.__cause__ from None
                raise

        return handle_bounded


def content_type(request: Request) -> str:
    """A body's content type without its parameters. A body that names none is taken for JSON."""
    return request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()


def is_json(request: Request) -> bool:
    """Whether a body is JSON, by any of its names."""
    kind = content_type(request)
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


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


def metered(request: Request, take: Take) -> Request:
    """The same request; reading its body takes the bytes from a budget as they arrive."""

    async def receive() -> Message:
        message = await request.receive()
        take(len(message.get("body", b"")))
        return message

    return Request(request.scope, receive, request._send)
