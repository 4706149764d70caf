"""A connection more than a worker may have."""

import asyncio
import logging
import math
from typing import ClassVar

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.errors import Overloaded

logger = logging.getLogger(__name__)

# Who has connected asks at once. Nobody else is worth a file for longer.
PATIENCE_S = 1
# A flood of connections must not become a flood of lines.
SILENCE_S = 1

_BODY = orjson.dumps({"detail": "Too many connections are open; try again soon.", "code": Overloaded.code})
ANSWER = (
    STATUS_LINE[503]
    + b"content-type: application/json\r\n"
    + b"content-length: %d\r\n" % len(_BODY)
    + b"retry-after: 1\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
    + _BODY
)


class Refusal(asyncio.Protocol):
    """Answers the first bytes of anything with 503. An answer to nothing would confuse a proxy that connects early."""

    _told_at: ClassVar[float] = -math.inf

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._transport = transport
        self._timer = loop.call_later(PATIENCE_S, transport.close)
        if loop.time() - Refusal._told_at >= SILENCE_S:
            Refusal._told_at = loop.time()
            logger.warning("%d connections are open; further ones are refused", most)

    def data_received(self, _: bytes) -> None:
        self._transport.write(ANSWER)
        self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._timer.cancel()
