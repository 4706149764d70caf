"""One connection to the service, which notices whatever comes that wasn't asked for."""

import asyncio
import json
from time import monotonic
from typing import Any, cast

import httpx
from app.commands.instance import Answer
from httptools import HttpParserError, HttpResponseParser


class Lost(Exception):
    """There is no answer, or only a part of one; the message says which."""


async def connect(port: int) -> "Connection":
    """A connection to the service on loopback."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


class Connection(asyncio.Protocol):
    """Asks one thing at a time. Its `port` is how the service sees it."""

    def __init__(self) -> None:
        self.port = 0
        self.since = monotonic()  # when it was made, or last answered
        self.unasked = 0  # bytes that came when nothing was asked
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Answer] | None = None
        self._parser = HttpResponseParser(self)
        self._began = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    @property
    def usable(self) -> bool:
        """Whether the service keeps it open, as far as is known."""
        return not self._transport.is_closing()

    async def ask(self, request: bytes, within_s: float) -> Answer:
        """The answer to a request.

        Raises:
            Lost: there is none.
        """
        self._answer = asyncio.get_running_loop().create_future()
        self.send(request)
        try:
            async with asyncio.timeout(within_s):
                return await self._answer
        except TimeoutError:
            raise Lost(f"no answer within {within_s:g} s") from None
        finally:
            self._answer = None

    def send(self, part: bytes) -> None:
        """Send as much of a request as one wants to."""
        self._transport.write(part)

    def hang_up(self) -> None:
        """End the connection, whatever is still to come."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.unasked += len(data)
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            self._fail(f"what came is no answer ({error})")
            self.hang_up()

    def connection_lost(self, error: Exception | None) -> None:
        how = "reset" if error else "closed"
        self._fail(f"{how} in the middle of the answer" if self._began else f"{how} without an answer")

    def on_message_begin(self) -> None:
        self._began = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        answer = Answer(self._parser.get_status_code(), httpx.Headers(self._headers), _json(bytes(self._body)), ms=0.0)
        waiting, self._answer = self._answer, None
        if waiting is None:
            self.unasked += len(self._body)
        elif not waiting.done():
            waiting.set_result(answer)
        self.since = monotonic()
        self._began = False
        self._headers = []
        self._body = bytearray()

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Lost(reason))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
