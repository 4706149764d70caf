"""How a question looks on the wire."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.commands.instance import Answer

TOKEN = "a-token-of-the-endurance-tests"
BOUNDARY = "a-boundary-of-the-endurance-tests"
JSON = "application/json"
FORM = f"multipart/form-data; boundary={BOUNDARY}"

Judge = Callable[[Answer], object]


@dataclass(frozen=True)
class Question:
    """A request as bytes; `judge` raises `Surprise` at an answer that isn't right.

    `images` is how many images it has decoded, each of which fails if its decoder is killed.
    """

    kind: str
    id: str
    head: bytes
    body: bytes
    judge: Judge
    images: int = 0


def head_of(method: str, path: str, body: bytes, content_type: str, token: str, name: str) -> bytes:
    """A request up to its body."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token}",
        f"X-Request-ID: {name}",
        *([f"Content-Type: {content_type}", f"Content-Length: {len(body)}"] if method == "POST" else ()),
    ]
    return "\r\n".join([*lines, "\r\n"]).encode()


def form_of(field: str, files: Sequence[bytes]) -> bytes:
    """A form with files, all under one name."""
    disposition = f'Content-Disposition: form-data; name="{field}"; filename="picture"'
    parts = [f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + data + b"\r\n" for data in files]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def in_base64(data: bytes) -> str:
    """Bytes as text."""
    return b64encode(data).decode()
