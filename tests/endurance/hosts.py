"""An image host on loopback that fails as hosts do: what it does with a request stands in the URL.

It has two addresses, so that those who wait for its failures don't hold up who asks for what is well: the service
bounds how many connections it has to one host.
"""

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from tests.endurance.known import Picture

RELIABLE, FAILING = "127.0.0.1", "127.0.0.2"
IMAGE_HOSTS = 2
GOOD = "good"
# Those that end well nevertheless.
MENDED = ("slow", "flaky")
# The others, and what the service then says.
FAILURES = {
    "error": (502, "image_host_failed"),
    "reset": (502, "image_host_failed"),
    "truncated": (502, "image_host_failed"),
    "stall": (504, "image_host_timeout"),
    "missing": (422, "image_not_found"),
    "page": (422, "not_an_image"),
}
PIECES = 5
PIECE_EVERY_S = 0.1
# Linger for no time when closing: what is still to be sent is dropped, and the other end told so.
RESETTING = struct.pack("ii", 1, 0)
PAGE = b"<!doctype html><p>Sorry, we are closed."


class ImageHost:
    """Serves variants of pictures."""

    def __init__(self, pictures: Sequence[Picture], pause_s: float = 0.0) -> None:
        """Every request waits `pause_s` before anything is done with it."""
        self._pictures = pictures
        self._pause_s = pause_s
        self._ports: dict[str, int] = {}
        self._numbers = itertools.count()
        self._failed_once: set[str] = set()
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def url(self, picture: int, behaviour: str = GOOD) -> tuple[str, int]:
        """Where a new variant of a picture is, and the variant's number."""
        number = next(self._numbers)
        address = RELIABLE if behaviour == GOOD else FAILING
        return f"http://{address}:{self._ports[address]}/{behaviour}/{picture}/{number}", number

    @asynccontextmanager
    async def open(self) -> AsyncIterator["ImageHost"]:
        """Answer for as long as the block lasts."""
        servers = [await asyncio.start_server(self._serve, address, 0) for address in (RELIABLE, FAILING)]
        for server in servers:
            address, port = server.sockets[0].getsockname()
            self._ports[address] = port
        try:
            yield self
        finally:
            for server in servers:
                server.close()
            for writer in self._open.values():
                writer.transport.abort()
            await asyncio.gather(*self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open[task] = writer
        task.add_done_callback(self._open.pop)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(self._pause_s)
                await self._answer(head.split(b" ", 2)[1].decode(), reader, writer)
        writer.close()

    async def _answer(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, behaviour, picture, number = path.split("/")
        data = self._pictures[int(picture)].variant(int(number))
        good = _answer(200, data)
        if behaviour == "flaky" and path not in self._failed_once:
            self._failed_once.add(path)
            behaviour = "error"
        match behaviour:
            case "error":
                writer.write(_answer(500, b""))
            case "missing":
                writer.write(_answer(404, b""))
            case "page":
                writer.write(_answer(200, PAGE))
            case "reset":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETTING)
                writer.transport.abort()
            case "truncated":
                writer.write(good[: -len(data) // 2])
                await writer.drain()
                writer.close()
            case "stall":
                await reader.read()  # until the service has had enough
            case "slow":
                size = len(good) // PIECES + 1
                for start in range(0, len(good), size):
                    writer.write(good[start : start + size])
                    await asyncio.sleep(PIECE_EVERY_S)
            case _:
                writer.write(good)
        await writer.drain()


def _answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d -\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
