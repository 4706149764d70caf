"""A stand-in for the Hugging Face hub on this machine's loopback: as much of its protocol as a download needs."""

import hashlib
import re
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DEFAULT_REPOSITORY = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
WEIGHTS = "open_clip_model.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves files by "owner/name/file" or "name/file"; `requests` are what it was asked, `status` answers all."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, Path], status: int | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(files)
        self.tags = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
        self.status = status
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no concern of the tests'."""


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: Any) -> None:
        self.server.requests.append(f"{self.command} {self.path}")

    def _answer(self, *, with_body: bool) -> None:
        if self.server.status is not None:
            self._refuse(self.server.status)
            return
        if self.path == "/":
            self._refuse(200)
            return
        wanted = re.fullmatch(r"/((?:[^/]+/)?[^/]+)/resolve/[^/]+/([^/?]+)", self.path)
        name = "/".join(wanted.groups()) if wanted else ""
        if name not in self.server.files:
            self._refuse(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        file = self.server.files[name]
        size = file.stat().st_size
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(part[1]) if part else 0
        end = int(part[2]) if part and part[2] else size - 1
        self.send_response(206 if part else 200)
        if part:
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end + 1 - start))
        self.send_header("ETag", f'"{self.server.tags[name]}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            with file.open("rb") as stream:
                stream.seek(start)
                if end == size - 1:
                    shutil.copyfileobj(stream, self.wfile, 1024 * 1024)
                else:
                    self.wfile.write(stream.read(end + 1 - start))

    def _refuse(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(files: Mapping[str, Path], status: int | None = None) -> Iterator[Hub]:
    """A hub with these files, for as long as the block lasts."""
    with Hub(files, status) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


@contextmanager
def refusing() -> Iterator[str]:
    """An address at which every connection is refused: the port is ours, but nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def silent() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
