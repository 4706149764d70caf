"""Callers who hang up, on real sockets."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from app.embeddings import EmbeddingModel
from app.main import create_app

from tests.conftest import TOKEN, MakeSettings


class Engine:
    """Holds every batch until it is let go, and remembers what it was given."""

    def __init__(self, model: EmbeddingModel) -> None:
        self.free = threading.Event()
        self.batches: list[int] = []
        self._compute = model.engine.embed_ids

    def embed_ids(self, ids: Any) -> Any:
        self.batches.append(len(ids))
        self.free.wait(30)
        return self._compute(ids)


@pytest.fixture
def serving_alone(make_settings: MakeSettings, tmp_path: Path) -> Iterator[tuple[int, Any]]:
    """A port, and the application behind it."""
    app = create_app(make_settings(index_url=f"faiss://{tmp_path / 'index'}"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        services = app.state.services
        until(lambda: services.embedder.loaded is not None)
        yield listener.getsockname()[1], services.embedder
        server.should_exit = True
        thread.join(30)


def until(condition: Callable[[], bool]) -> None:
    """Look again and again until something is so."""
    ended = threading.Event()
    for _ in range(3000):
        if condition():
            return
        ended.wait(0.01)
    raise AssertionError("it never came to be so")


def ask(port: int, route: str, body: Any) -> socket.socket:
    """Send a request and don't wait for its answer."""
    content = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"POST {route} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(content)}\r\n"
    connection.sendall(head.encode() + b"\r\n" + content)
    return connection


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/embed-text", {"query": "gone before its turn"}),
        ("/embed/text", {"texts": ["gone", "gone too"]}),
        ("/v1/embeddings", {"model": "small", "input": "gone as well"}),
        ("/search", {"query": "gone for good"}),
        ("/search", {"queries": [{"text": "gone from here"}, {"text": "and from there"}]}),
    ],
)
def test_what_a_caller_who_has_hung_up_asked_for_is_not_computed(
    serving_alone: tuple[int, Any], monkeypatch: pytest.MonkeyPatch, route: str, body: dict[str, Any]
) -> None:
    port, embedder = serving_alone
    if "model" in body:
        body = body | {"model": embedder.loaded.manifest.architecture}
    engine = Engine(embedder.loaded)
    monkeypatch.setattr(embedder.loaded.engine, "embed_ids", engine.embed_ids)
    with ask(port, "/embed-text", {"query": "the first"}) as first:
        until(lambda: len(engine.batches) == 1)
        with ask(port, route, body):
            until(lambda: embedder.waiting > 0)
        until(lambda: embedder.waiting == 0)
        engine.free.set()
        assert first.recv(15) == b"HTTP/1.1 200 OK"
    assert engine.batches == [1]
