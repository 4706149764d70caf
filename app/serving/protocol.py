"""How workers read HTTP: by uvicorn's fastest protocol, with the bounds that it lacks."""

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.config import MIB

# Up to here a request's headers are read, so that its failure has our form; beyond, it is refused with a bare 400.
MAX_HEADER_BYTES = 2 * MIB
# Each costs more than a hundred bytes of memory, however short it is.
MAX_HEADERS = 1000
# Requests that are sent without waiting for answers are all parsed at once, and cost kilobytes each while they wait.
MAX_WAITING_REQUESTS = 100

REFUSAL = "Invalid HTTP request received."
FRAMING = (b"content-length", b"transfer-encoding")


class BoundedProtocol(HttpToolsProtocol):
    """One connection. What is no HTTP or has no end is refused with 400, and the connection closed."""

    # Since the last headers ended, or the last bytes of a body came.
    _bytes_of_neither = 0
    _reading_headers = False
    _resuming = False

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
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
        super().on_headers_complete()
        if getattr(self.server_state, "leaving", False):
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._bytes_of_neither = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():  # otherwise the body is yet to come
            super().on_message_complete()
