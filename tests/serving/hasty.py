"""Protocols for which what takes seconds in a service takes tenths of them, and an application that tries them."""

import asyncio

from app.config import Settings
from app.serving.protocol import bounded
from starlette.types import Message, Receive, Scope, Send

from tests.serving import echo

MUCH = 64 * 2**20
FEW = 5

Hasty = bounded(Settings.model_construct(header_timeout_s=0.4, body_timeout_s=0.8))
Hasty.unacknowledged_s = 0.5
Crowded = bounded(Settings.model_construct(max_connections=FEW))

_gone: list[str] = []
_go = asyncio.Event()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Paths are what it is to do; other than these it echoes."""
    if scope["path"] == "/refuse":  # as without a token: before the body is read
        await _answer(send, 401, b"no")
    elif scope["path"] == "/much":
        await _answer(send, 200, bytes(MUCH))
    elif scope["path"] == "/wait":
        await _go.wait()
        await _answer(send, 200, b"waited")
    elif scope["path"] == "/go":
        _go.set()
        await _answer(send, 200, b"gone")
    elif scope["path"] == "/who-has-gone":
        await _answer(send, 200, " ".join(_gone).encode())
    else:
        await echo.app(scope, _noting(scope, receive), send)


def _noting(scope: Scope, receive: Receive) -> Receive:
    async def noting() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            _gone.append(scope["path"])
        return message

    return noting


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
