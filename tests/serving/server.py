"""A process that serves `tests/serving/echo.py` by a protocol of ours, and what is said to it over a socket."""

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import unused_port

PROJECT = Path(__file__).parent.parent.parent
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
LAST = GET + b"Connection: close\r\n\r\n"
PATIENCE_S = 20
KEEP_ALIVE_S = 1


@dataclass(frozen=True)
class Server:
    """The process."""

    process: "subprocess.Popen[bytes]"
    port: int

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with closing(socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)) as connection:
            yield connection

    def says(self, *pieces: bytes) -> bytes:
        """All that it answers to these pieces, until it closes the connection."""
        with self.connected() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            return all_of(connection)

    def understands(self, *pieces: bytes) -> list[dict[str, Any]]:
        """Which requests it takes these pieces for."""
        *understood, last = re.findall(rb"\r\n\r\n({.*?})(?=HTTP|$)", self.says(*pieces, LAST))
        assert json.loads(last)["headers"] == ["connection", "host"]
        return [json.loads(answer) for answer in understood]

    def memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def files(self) -> int:
        """How many files it has open; a connection is one."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other end closes the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def serving(protocol: str, app: str = "tests.serving.echo:app") -> Iterator[Server]:
    """An application served by a protocol, both given as `module:name`."""
    port = unused_port()
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "uvicorn", app, "--port", str(port), "--lifespan", "off"],
            *["--http", protocol, "--loop", "uvloop", "--log-level", "critical"],
            *["--timeout-keep-alive", str(KEEP_ALIVE_S)],
        ],
        cwd=PROJECT,
    )
    try:
        server = Server(process, port)
        pace = threading.Event()
        for _ in range(1000):
            with suppress(ConnectionRefusedError), server.connected():
                break
            pace.wait(0.02)
        yield server
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
