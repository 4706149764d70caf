"""A service that speaks the contract's words and knows nothing, for tests of what its clients make of them."""

import hashlib
import json
from collections.abc import Callable, Iterable
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

import httpx

from tests.conftest import TOKEN

SPACE = "5f0c1b2a9d3e4f67"
FAILED = "https://media.example.org/gone.jpg"
BUSY = "https://media.example.org/busy.jpg"
MISSING = "missing"

Respond = Callable[[httpx.Request], httpx.Response]


def vector(content: str | bytes) -> list[float]:
    """Four numbers that tell what they were made from; the service's own would have length 1."""
    return [
        byte / 255 for byte in hashlib.sha256(content if isinstance(content, bytes) else content.encode()).digest()[:4]
    ]


class Service:
    """Answers requests. What is put into `next` is answered first; `asked` has every request."""

    def __init__(self, space: str = SPACE) -> None:
        self.space = space
        self.next: list[httpx.Response | Exception | Respond] = []
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if not self.next:
            return self.answer(request)
        answer = self.next.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):  # which a client reads once
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return answer(request)

    def bodies(self) -> list[Any]:
        """What came as JSON."""
        return [json.loads(request.content) for request in self.asked]

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/health":
            return httpx.Response(200, json=health(self.space))
        if request.headers["Authorization"] != "Bearer " + TOKEN:
            return problem(401, "unauthorized")
        if request.method == "GET" or path == "/search":
            return self._of_index(request)
        if request.headers["Content-Type"].startswith("multipart/form-data"):
            return self._answered(self._images(list(files(request))))
        if path == "/embed-image" and request.headers["Content-Type"].startswith("image/"):
            return self._answered(self._image(request.content))
        body = json.loads(request.content)
        if path == "/embed-text":
            return self._answered({"embedding": vector(body["query"]), "truncated": False})
        if path == "/embed-image":
            return self._answered(self._image(body["url"]))
        if path == "/embed/text":
            texts = body["texts"]
            return self._answered({"embeddings": list(map(vector, texts)), "truncated": [False] * len(texts)})
        if path == "/embed/image":
            return self._answered(self._images(body["urls"]))
        seen = self._images(body.get("urls", []))
        mixed = {
            "text_embeddings": list(map(vector, body.get("texts", []))),
            "image_embeddings": seen.pop("embeddings"),
        }
        return self._answered(mixed | seen)

    def _of_index(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        if path == "/search":
            return self._answered({"results": [{**item("storm"), "score": 0.5}], "took_ms": 1.5, "truncated": False})
        if path == "/index":
            return self._answered(index())
        if path.startswith("/items?limit="):
            limit = int(request.url.params["limit"])
            return httpx.Response(200, json={"items": [item(str(number)) for number in range(limit)]})
        name = unquote(path.removeprefix("/items/"))
        return problem(404, "item_not_found") if name == MISSING else httpx.Response(200, json=item(name))

    def _answered(self, body: dict[str, Any]) -> httpx.Response:
        labels = {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k", "device": "cpu", "space": self.space}
        return httpx.Response(200, json={**body, "dimensions": 4, **labels}, headers={"X-Request-ID": "an-id"})

    def _image(self, image: str | bytes) -> dict[str, Any]:
        return {"embedding": vector(image), "sha256": "0" * 64, "width": 90, "height": 60}

    def _images(self, images: Iterable[str | bytes]) -> dict[str, Any]:
        listed = list(images)
        wrong = {FAILED: "image_not_found", BUSY: "image_host_timeout"}
        good = [index for index, image in enumerate(listed) if image not in wrong]
        failed = [
            {"index": index, "url": image, "code": wrong[image], "detail": "It failed."}
            for index, image in enumerate(listed)
            if isinstance(image, str) and image in wrong
        ]
        return {
            "embeddings": [vector(listed[index]) for index in good],
            "indices": good,
            "failed": failed,
            **{name: [value] * len(good) for name, value in (("sha256", "0" * 64), ("width", 90), ("height", 60))},
        }


class Loopback:
    """The same service behind a real socket. `connections` counts what was dialled."""

    def __init__(self, respond: Respond) -> None:
        self.connections = 0
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                loopback.connections += 1

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = respond(
                    httpx.Request(
                        self.command, f"http://{self.path}", headers=list(self.headers.items()), content=content
                    )
                )
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.content)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def health(space: str | None = SPACE, status: str = "healthy") -> dict[str, Any]:
    return {
        "status": status,
        **dict.fromkeys(("model_loaded", "text_model_loaded", "image_model_loaded"), space is not None),
        **dict.fromkeys(("device", "engine", "precision"), None if space is None else "some"),
        "space": space,
    }


def item(name: str) -> dict[str, Any]:
    return {"id": name, "metadata": {"title": f"About {name}"}}


def index() -> dict[str, Any]:
    artists = [{"value": "Ada Impasto", "count": 41}, {"value": "Otto Glaze", "count": 3}]
    years = {"values": [{"value": 1871, "count": 2}], "distinct": 1, "lowest": 1871, "highest": 1871}
    return {"count": 44, "kind": "faiss", "fields": {"artist": {"values": artists, "distinct": 2}, "year": years}}


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json={"detail": "It is so.", "code": code}, headers=named)


def files(request: httpx.Request) -> Iterable[bytes]:
    """The files of a form."""
    head = b"Content-Type: " + request.headers["Content-Type"].encode() + b"\r\n\r\n"
    form: Message = BytesParser().parsebytes(head + request.content)
    for part in form.walk():
        if part.get_param("name", header="content-disposition") == "files":
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            yield content
