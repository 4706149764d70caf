"""A live instance on loopback whose answers a test can spoil."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from app.config import Settings
from app.embeddings import EmbeddingModel
from app.main import create_app
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.conftest import TOKEN, unused_port


@dataclass
class Exchanged:
    """An answer on its way out, and what it answers."""

    method: str
    path: str
    authorization: str | None
    status: int
    headers: dict[str, str]
    body: Any
    breaks_off: bool = False


Spoil = Callable[[Exchanged], None]


@dataclass
class Live:
    """A service that is ready; `spoil` changes its answers, `called` has the method and path of all requests."""

    url: str
    spoil: Spoil | None = None
    called: set[tuple[str, str]] = field(default_factory=set)


class Spoiled:
    """Lets a test change every answer that is JSON."""

    def __init__(self, app: ASGIApp, live: Live) -> None:
        self._app = app
        self._live = live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._live.called.add((scope["method"], scope["path"]))
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        await self._app(scope, receive, keep)
        await self._send(scope, sent, send)

    async def _send(self, scope: Scope, sent: list[Message], send: Send) -> None:
        start, content = sent[0], b"".join(message.get("body", b"") for message in sent[1:])
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        if self._live.spoil and headers.get("content-type") == "application/json":
            asked = dict(scope["headers"]).get(b"authorization", b"").decode() or None
            answer = Exchanged(scope["method"], scope["path"], asked, start["status"], headers, json.loads(content))
            self._live.spoil(answer)
            content = json.dumps(answer.body).encode()
            headers = answer.headers | {"content-length": str(len(content) + answer.breaks_off)}
            start = {
                **start,
                "status": answer.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        await send(start)
        await send({"type": "http.response.body", "body": content})


@pytest.fixture(scope="module")
def running(model: EmbeddingModel, small: str, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service on the small model, with an index, that listens on loopback, in a thread of this process."""
    port = unused_port()
    live = Live(f"http://127.0.0.1:{port}")
    settings = Settings.load(
        auth_token=[TOKEN],
        model_name=small,
        model_cache_dir=cache,
        precision="float32",
        allow_private_networks=True,
        index_url=f"faiss://{tmp_path_factory.mktemp('index')}",
    )
    with pytest.MonkeyPatch.context() as patch:
        # The service logs into what a command has set up, which may be the stream of a test that is over.
        patch.setattr(logging, "raiseExceptions", False)
        patch.setattr("app.main.EmbeddingModel", lambda *_, **__: model)
        app = Spoiled(create_app(settings), live)
        server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield live
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def live(running: Live) -> Iterator[Live]:
    """The same for one test: unspoiled again afterwards."""
    running.called.clear()
    yield running
    running.spoil = None
