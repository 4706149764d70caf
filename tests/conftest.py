"""What the tests share: models with seeded random weights, settings that ignore this machine, and a client."""

import functools
import json
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import open_clip
import pytest
import structlog
import torch
from app.config import Settings
from app.embeddings import EmbeddingModel
from app.main import create_app
from starlette.testclient import TestClient

TOKEN = "a-secret-of-the-tests"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}

SMALL = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {},
}

MakeSettings = Callable[..., Settings]
Serving = Callable[[Settings], AbstractContextManager[TestClient]]


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        patch.setitem(Settings.model_config, "env_file", None)
        yield


@pytest.fixture(autouse=True)
def _no_waiting_between_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.images.retries.WAITS_S", (0.0, 0.0))


_create_ssl_context = httpx.create_ssl_context


@functools.cache
def _trusting(authorities: str | None) -> ssl.SSLContext:
    return _create_ssl_context()


@pytest.fixture(autouse=True)
def _authorities_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading them takes longer than a fetch."""
    monkeypatch.setattr(httpx, "create_ssl_context", lambda: _trusting(os.environ.get("SSL_CERT_FILE")))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands that run in this process configure it for themselves."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in root.manager.loggerDict}
    level = root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def vit_b_32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the real architecture with random weights, which cost as much as real ones."""
    torch.manual_seed(0)
    checkpoint = tmp_path_factory.mktemp("vit-b-32") / "random.pt"
    torch.save(open_clip.create_model("ViT-B-32").state_dict(), checkpoint)
    return checkpoint


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a model of two narrow layers, in a folder of its own."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "open_clip_config.json").write_text(json.dumps(SMALL))
    torch.manual_seed(0)
    name = f"local-dir:{folder}"
    torch.save(open_clip.create_model(name).state_dict(), folder / "open_clip_pytorch_model.bin")
    return name


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models are prepared once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def make_settings(small: str, cache: Path) -> MakeSettings:
    """Settings of a service on the small model, with some of them changed."""

    def make(**changes: Any) -> Settings:
        usual = {
            "auth_token": [TOKEN],
            "model_name": small,
            "model_cache_dir": cache,
            "precision": "float32",
            "allow_private_networks": True,
            "log_level": "DEBUG",
        }
        return Settings.load(**usual | changes)

    return make


@pytest.fixture(scope="session")
def model(small: str, cache: Path) -> EmbeddingModel:
    """The small model, loaded."""
    return EmbeddingModel(small, "-", settings=Settings.load(model_cache_dir=cache, precision="float32"))


def unused_port() -> int:
    """A port of loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture
def free_port() -> int:
    """A port of loopback where nobody listens."""
    return unused_port()


@pytest.fixture(scope="session")
def serving(model: EmbeddingModel) -> Serving:
    """A service with settings of one's own, ready, in this process. All share one loaded model."""

    @contextmanager
    def serve(settings: Settings) -> Iterator[TestClient]:
        with mock.patch("app.main.EmbeddingModel", return_value=model), TestClient(create_app(settings)) as client:
            while (answer := client.get("/health")).status_code != 200:
                assert answer.json()["status"] == "loading", answer.text
            yield client

    return serve


@pytest.fixture(scope="module")
def client(serving: Serving, make_settings: MakeSettings) -> Iterator[TestClient]:
    """A service that is ready, in this process. The tests of a file share it, as starting it takes processes."""
    with serving(make_settings()) as client:
        yield client


@pytest.fixture(scope="module")
def searching(
    serving: Serving, make_settings: MakeSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """The same with an index, in which the tests of a file find what they have put into it."""
    with serving(make_settings(index_url=f"faiss://{tmp_path_factory.mktemp('index')}")) as client:
        yield client
