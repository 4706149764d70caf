"""One running instance, an image host, and Node with the packages that callers use. Everything is on loopback."""

import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import TOKEN, unused_port
from tests.test_endpoints import as_png, painting
from tools import node

ROOT = Path(__file__).parents[2]
NODE_PROJECT = node.PROJECT

STARTING_S = 60
STOPPING_S = 40
PACE_S = 0.05


@dataclass(frozen=True)
class Instance:
    """A service of real processes on the bundled model."""

    url: str
    token: str
    model: str


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The instance that all callers share, with an index. It fetches images from loopback too."""
    folder = tmp_path_factory.mktemp("instance")
    with running(folder, ALLOW_PRIVATE_NETWORKS="true", INDEX_URL=f"faiss://{folder / 'index'}") as instance:
        yield instance


@contextmanager
def running(
    folder: Path,
    module: str = "app.cli",
    stderr: int | None = None,
    /,
    *,
    arguments: Sequence[str] = ("serve",),
    **settings: str,
) -> Iterator[Instance]:
    """A service with settings of one's own, for as long as the block lasts; its log is in the folder or elsewhere."""
    port = unused_port()
    environment = {
        "PYTHONPATH": str(ROOT),  # this checkout's code, whatever is installed
        "AUTH_TOKEN": TOKEN,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MODEL_NAME": "tiny-gallery",
        "PRECISION": "float32",
        "WORKERS": "1",
        "KEEP_ALIVE_S": "2",  # newman ends no sooner than its connections
        "MODEL_CACHE_DIR": str(folder / "cache"),
        **settings,
    }
    instance = Instance(f"http://127.0.0.1:{port}", TOKEN, "tiny-gallery")
    command = [sys.executable, "-m", module, *arguments]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, env=os.environ | environment, cwd=folder, stderr=stderr or log)
    try:
        _until_healthy(instance.url, process, folder / "log")
        yield instance
    finally:
        process.terminate()
        process.wait(STOPPING_S)


@pytest.fixture(scope="session")
def image_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a host that serves `painting.png` and `text.txt`, and nothing else."""
    folder = tmp_path_factory.mktemp("image-host")
    (folder / "painting.png").write_bytes(as_png(painting()))
    (folder / "text.txt").write_text("no picture at all")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": PACE_S})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session", name="node_modules")
def _node_modules() -> Path:
    return node_modules()


def node_modules() -> Path:
    """The packages of `node/package-lock.json`."""
    return node.modules()


RunNode = Callable[..., str]


@pytest.fixture
def run_node(node_modules: Path, tmp_path: Path) -> RunNode:
    """Runs Node with some arguments, in a folder of this test's own that finds the packages; gives what it printed."""
    (tmp_path / "node_modules").symlink_to(node_modules)

    def run(*arguments: str, **environment: str) -> str:
        return node.run_node(tmp_path, *arguments, **environment)

    return run


def _until_healthy(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + STARTING_S
    pace = threading.Event()
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health").status_code == 200:
                return
        pace.wait(PACE_S)
    raise AssertionError(log.read_text())


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""
