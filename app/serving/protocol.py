"""How workers read HTTP: by uvicorn's fastest protocol, with the bounds that it lacks, in bytes and in time."""

import asyncio
import math
import socket
import sys
from contextlib import suppress
from typing import ClassVar, cast

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.config import MIB, Settings
from app.serving.refusal import Refusal

# Up to here a request's headers are read, so that its failure has our form; beyond, it is refused with a bare 400.
MAX_HEADER_BYTES = 2 * MIB
# Each costs more than a hundred bytes of memory, however short it is.
MAX_HEADERS = 1000
# Requests that are sent without waiting for answers are all parsed at once, and cost kilobytes each while they wait.
MAX_WAITING_REQUESTS = 100
# What arrives of a body at this pace prolongs its time by as much as it took: no upload that goes on is cut off.
BYTES_PER_S = 64 * 1024

REFUSAL = "Invalid HTTP request received."
FRAMING = (b"content-length", b"transfer-encoding")
TOO_SLOW = STATUS_LINE[408] + b"content-length: 0\r\nconnection: close\r\n\r\n"


def bounded(settings: Settings) -> "type[BoundedProtocol]":
    """The protocol, with the limits of these settings."""
    limits = ("header_timeout_s", "body_timeout_s", "max_connections")
    return type(BoundedProtocol.__name__, (BoundedProtocol,), {name: getattr(settings, name) for name in limits})


class BoundedProtocol(HttpToolsProtocol):
    """One connection. What is no HTTP or has no end is refused with 400, what isn't there in time with 408."""

    header_timeout_s: ClassVar[float] = Settings.model_fields["header_timeout_s"].default
    body_timeout_s: ClassVar[float] = Settings.model_fields["body_timeout_s"].default
    max_connections: ClassVar[int] = Settings.model_fields["max_connections"].default
    # Who acknowledges nothing of an answer for so long has gone, or will never read it.
    unacknowledged_s: ClassVar[float] = 30

    # Since the last headers ended, or the last bytes of a body came.
    _bytes_of_neither = 0
    _reading_headers = False
    _resuming = False

    # Since when the rest of a request is awaited: its headers, or its body. Never while there is nothing to wait for.
    _since = math.inf
    _reading_body = False
    _body_bytes = 0
    # The only timer, however many requests there are: when it fires, it looks what time is left and sleeps on.
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # any connection's is one
        if len(self.connections) >= self.max_connections:
            transport.set_protocol(Refusal(transport, self.loop, self.max_connections))
            return
        super().connection_made(transport)
        _give_up_after(self.unacknowledged_s, transport)
        self._since = self.loop.time()
        self._look_later(self.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._bytes_of_neither += len(data)
        try:
            self._parse(data)
            if self._bytes_of_neither > MAX_HEADER_BYTES:
                raise HttpParserError("headers without end")
        except HttpParserError:
            self.logger.warning(REFUSAL)
            self.send_400_response(REFUSAL)

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._resume()
            else:
                return

    def _should_upgrade(self) -> bool:
        """Another protocol is never agreed to."""
        return False

    def _resume(self) -> None:
        """Go on with a request that offered another protocol, as Java's client offers HTTP/2.

        The parser stops there and takes the body for the other protocol. So it gets to read the same request once more,
        but for the offer, and none of that is listened to until the body comes.
        """
        framing = b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] in FRAMING)
        self._resuming = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
        self._resuming = False

    def on_message_begin(self) -> None:
        if self._resuming:
            return
        if len(self.pipeline) >= MAX_WAITING_REQUESTS:
            raise HttpParserError("too many requests at once")
        self._reading_headers = True
        self._unset_keepalive_if_required()
        if self._since == math.inf:  # otherwise the connection is new, and its time runs already
            self._since = self.loop.time()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._reading_headers:
            return  # what follows a body may not pass for a header, such as a token
        if len(self.headers) >= MAX_HEADERS:
            raise HttpParserError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        self._reading_headers = False
        self._bytes_of_neither = 0
        self._reading_body = True
        self._body_bytes = 0
        self._since = self.loop.time()
        super().on_headers_complete()
        if getattr(self.server_state, "leaving", False):
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._bytes_of_neither = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # the body is yet to come
        self._reading_body = False
        self._since = math.inf
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._since < math.inf:  # the rest of a request is on its way, perhaps of the one that was just answered
            self._unset_keepalive_if_required()
            self._since = self.loop.time()

    def _look_later(self, seconds: float) -> None:
        # Time may begin to run while the timer sleeps, and so that is never for longer than the shortest time lasts.
        seconds = min(seconds, self.header_timeout_s, self.body_timeout_s)
        self._timer = self.loop.call_later(seconds, self._look_at_the_time)

    def _look_at_the_time(self) -> None:
        if self.transport.is_closing():
            return
        left = self._left_s()
        if left > 0:
            self._look_later(left)
        elif self._is_held_up():
            self._since = self.loop.time()
            self._look_later(math.inf)
        else:
            self._give_up()

    def _left_s(self) -> float:
        """How long the caller may still take for what it has begun to send."""
        allowed = self.body_timeout_s + self._body_bytes / BYTES_PER_S if self._reading_body else self.header_timeout_s
        return self._since + allowed - self.loop.time()

    def _is_held_up(self) -> bool:
        """Whether it is us who don't read on: a request's turn hasn't come, or nobody takes its body."""
        if self._reading_body:
            return bool(self.pipeline) or self.flow.read_paused
        return self.cycle is not None and not self.cycle.response_complete

    def _give_up(self) -> None:
        unanswered = self._reading_headers
        if self._reading_body:
            unanswered = not self.cycle.response_started
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if unanswered:
            self.transport.write(TOO_SLOW)
        self.transport.close()


def _give_up_after(seconds: float, transport: asyncio.Transport) -> None:
    """Let the system end a connection whose other end doesn't acknowledge what was sent, be it gone or not reading."""
    connection = transport.get_extra_info("socket")
    if connection is not None and sys.platform == "linux":
        with suppress(OSError):  # not every socket is one of TCP
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
