"""What docs/troubleshooting.md quotes is what is really said when that goes wrong."""

import importlib.util
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
from app.config import Precision, Settings
from app.embeddings import EmbeddingModel, export
from app.embeddings.engines import choice
from app.embeddings.model import prepare
from app.errors import StartError
from app.main import create_app
from starlette.testclient import TestClient

from tate_embeddings_client import Client, SpaceChanged
from tests.conftest import AUTHORIZED, TOKEN, MakeSettings, Serving, unused_port
from tests.embeddings.conftest import ask

ROOT = Path(__file__).parent.parent
QUOTES = re.findall(r"^> (.*)$", (ROOT / "docs" / "troubleshooting.md").read_text("utf-8"), re.M)
PATIENCE_S = 60
CROWD = 8
URL = "http://127.0.0.1/painting.jpg"


def refusal(start: Callable[[], Any]) -> str:
    """Why something doesn't start."""
    with pytest.raises(StartError) as refused:
        start()
    return str(refused.value)


@pytest.fixture
def starts(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> str:
    """What is said where a service, or the preparation of its model, doesn't start, or not as was hoped."""

    def settings(**changes: Any) -> Settings:
        return make_settings(model_name="ViT-B-32", pretrained="laion2b_s34b_b79k", precision="auto", **changes)

    def has_none(package: str) -> None:
        assert package == "open_clip"

    said = [refusal(lambda: create_app(Settings.load()))]
    ask(f"http://127.0.0.1:{unused_port()}", monkeypatch)
    nowhere = Path("/proc/nowhere")
    said.append(refusal(lambda: export.export("ViT-B-32", "laion2b_s34b_b79k", nowhere)))
    with monkeypatch.context() as without_torch:
        without_torch.setattr(importlib.util, "find_spec", has_none)
        said.append(refusal(lambda: prepare(settings())))
    with monkeypatch.context() as machine:
        machine.setattr(choice, "gpus", lambda: 0)
        machine.setattr(choice, "_native", lambda precision: precision == "float32")
        half: Precision = "bfloat16"
        said.append(refusal(lambda: choice.choose(settings(device="cuda"))))
        said.append(refusal(lambda: choice.choose(settings().model_copy(update={"precision": half}))))
        machine.setattr(choice, "has_nvidia_device", lambda: True)
        choice.choose(settings())
    return "\n".join([*said, caplog.text])


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """What is said where the model's hub isn't there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    ask(f"http://127.0.0.1:{unused_port()}", monkeypatch)
    return refusal(lambda: export.export("ViT-B-32", "laion2b_s34b_b79k", tmp_path / "cache"))


@pytest.fixture
def answers(
    serving: Serving, make_settings: MakeSettings, model: EmbeddingModel, caplog: pytest.LogCaptureFixture
) -> str:
    """What requests are answered that fail, and what the log has of them."""
    caplog.set_level(logging.INFO)
    said = []
    go = threading.Event()
    late = mock.Mock(side_effect=lambda *_, **__: go.wait(PATIENCE_S) and model)
    with mock.patch("app.main.EmbeddingModel", late), TestClient(create_app(make_settings())) as client:
        said.append(client.post("/embed-text", json={"query": "too early"}, headers=AUTHORIZED).text)
        go.set()
    with serving(make_settings(allow_private_networks=False)) as client:
        said.append(client.post("/embed-text", json={"query": "a text"}, headers={"Authorization": f'"{TOKEN}"'}).text)
        said.append(client.post("/embed-image", json={"url": URL}, headers=AUTHORIZED).text)
    with serving(make_settings(max_queue_items=1)) as client:
        nobody = f"http://127.0.0.1:{unused_port()}/"
        said.append(client.post("/embed-image", json={"url": nobody}, headers=AUTHORIZED).text)
        said += crowded(client, model)
    return "\n".join([*said, *(record.getMessage() for record in caplog.records)])


def crowded(client: TestClient, model: EmbeddingModel) -> list[str]:
    """What many are answered who ask at once, while the model computes nothing before one has been refused."""
    embed, refused = model.embed_tokens, threading.Event()

    def slowly(*arguments: Any) -> Any:
        refused.wait(PATIENCE_S)
        return embed(*arguments)

    def query(number: int) -> str:
        answer = client.post("/embed-text", json={"query": f"query {number}"}, headers=AUTHORIZED)
        if answer.status_code == 503:
            refused.set()
        return answer.text

    with mock.patch.object(model, "embed_tokens", slowly), ThreadPoolExecutor(CROWD) as callers:
        return list(callers.map(query, range(CROWD)))


@contextmanager
def serve(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A service on the bundled model, which writes `log`."""
    environment = {
        "PYTHONPATH": str(ROOT),
        "AUTH_TOKEN": TOKEN,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MODEL_NAME": "tiny-gallery",
        "WORKERS": "1",
        "LOG_FORMAT": "console",
    }
    with (folder / "log").open("ab") as log:
        command = [sys.executable, "-m", "app.cli", "serve"]
        process = subprocess.Popen(command, env=os.environ | environment, cwd=folder, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def processes(tmp_path: Path) -> str:
    """What is said of a port that is taken and of a worker that is killed, and of a space that has changed."""
    port = unused_port()
    log = tmp_path / "log"
    with serve(tmp_path, port) as first:
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200)
        with serve(tmp_path, port):
            until(lambda: "Connection in use" in log.read_text())
        with Client(f"http://127.0.0.1:{port}", TOKEN, space="another") as client, pytest.raises(SpaceChanged) as error:
            client.embed_text("a stormy sea")
        (worker,) = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        until(lambda: "SIGKILL" in log.read_text())
    return f"{log.read_text()}\n{error.value}"


def until(condition: Callable[[], bool]) -> None:
    """Ask again until something is so; a failure to connect counts as not yet."""
    pace, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if condition():
                return
        pace.wait(0.05)
    raise AssertionError("it never was")


@pytest.mark.slow
def test_what_is_quoted_is_really_said(starts: str, downloads: str, answers: str, processes: str) -> None:
    said = "\n".join([starts, downloads, answers, processes])

    invented = [quote for quote in QUOTES if not re.search(".+?".join(map(re.escape, quote.split("…"))), said)]
    assert QUOTES
    assert invented == []
