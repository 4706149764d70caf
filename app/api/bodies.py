"""What may come in as a body: refused by content type before it is read, and by size while it is."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from app.errors import ServiceError, TooLarge, UnsupportedMediaType


class JsonRoute(APIRoute):
    """A route that takes JSON, bounded by `MAX_BODY_BYTES`. A body without a content type is taken for JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            _check_content_type(request)
            limit: int = request.app.state.services.settings.max_body_bytes
            bounded = Request(request.scope, _bounded(request, limit), request._send)
            try:
                return await handle(bounded)
            except HTTPException as error:
                # FastAPI turns whatever goes wrong while it reads a body into one of these.
                if isinstance(error.__cause__, ServiceError):
                    raise error.__cause__ from None
                raise

        return handle_bounded


def _check_content_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType("Send the body as 'Content-Type: application/json'.")


def _bounded(request: Request, limit: int) -> Receive:
    """The request's body, as far as it stays within the limit, whatever length it claims."""
    too_large = TooLarge(f"The body has more than {limit} bytes.")
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

    return receive
