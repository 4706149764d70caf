"""An image host on loopback, in a process of its own: a different JPEG for each address, at hardly any cost."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvloop

from benchmarks.photograph import SIZE, photograph

HEAD_END = b"\r\n\r\n"


@contextmanager
def image_host(size: tuple[int, int] = SIZE) -> Iterator[str]:
    """The address of a host of pictures of a width and a height, for as long as the block lasts."""
    command = [sys.executable, "-m", "benchmarks.image_host", *map(str, size)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.communicate()


class ImageHost(asyncio.Protocol):
    """Answers every request with the same picture, and its path after the picture's end, where no decoder looks."""

    def __init__(self, picture: bytes) -> None:
        self._picture = picture
        self._received = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of its own kind

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(HEAD_END)) >= 0:
            path = bytes(self._received.split(b" ", 2)[1])
            del self._received[: end + len(HEAD_END)]
            length = len(self._picture) + len(path)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % length
            self._transport.writelines([head, self._picture, path])


async def serve(size: tuple[int, int]) -> None:
    """Print the port, and answer until this process is ended."""
    picture = photograph(size)
    server = await asyncio.get_running_loop().create_server(lambda: ImageHost(picture), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    width, height = map(int, sys.argv[1:])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve((width, height)))
