"""Services of real processes, to be measured from outside: ours and the straightforward one."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx

from benchmarks.conditions import Conditions
from benchmarks.inputs import posts, queries, urls

TOKEN = "a-token-of-the-benchmark"
STARTING_S = 300.0
STOPPING_S = 10.0
LOOK_EVERY_S = 0.02
# Of a search box's queries some are asked again and again.
REPEATED = 100
# The service's own default, where something is to come from the cache.
CACHE_ITEMS = 10_000
MIB = 2**20


@dataclass(frozen=True)
class Service:
    """A service that is ready, requests for it, and how many seconds its start has taken."""

    name: str
    port: int
    process: "subprocess.Popen[bytes]"
    ready_s: float
    client: httpx.Client
    queries: Iterator[bytes]

    def pictures(self, host: str) -> Iterator[bytes]:
        """Requests for pictures of a host; none comes twice."""
        return posts("/embed-image", "url", urls(host), TOKEN)

    def repeated(self) -> Iterator[bytes]:
        """Requests for the same few queries over and over, which are not among `queries`."""
        few = [f"{query} again" for query in islice(queries(), REPEATED)]
        return cycle(list(posts("/embed-text", "query", iter(few), TOKEN)))

    def processes(self) -> list[int]:
        """All of its processes, the one that was started first."""
        return [*_tree(self.process.pid)]

    def resident(self) -> int:
        """Bytes of memory that its processes hold together; what they share counts in each."""
        return sum(map(resident, self.processes()))


@contextmanager
def ours(
    conditions: Conditions,
    precision: str,
    *,
    cache_items: int = 0,
    cpus: Set[int] | None = None,
    log_level: str = "WARNING",
    module: str = "app.cli",
) -> Iterator[Service]:
    """Our service in one worker, on these CPUs or on all. It may fetch from loopback."""
    port = unused_port()
    environment = {
        "AUTH_TOKEN": TOKEN,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WORKERS": "1",
        "PRECISION": precision,
        "MODEL_NAME": conditions.model,
        "PRETRAINED": conditions.pretrained,
        "MODEL_CACHE_DIR": str(conditions.cache),
        "ALLOW_PRIVATE_NETWORKS": "true",
        "CACHE_ITEMS": str(cache_items),
        "LOG_LEVEL": log_level,
    }

    def is_ready(client: httpx.Client) -> bool:
        return client.get("/health").status_code == httpx.codes.OK

    command = [sys.executable, "-m", module, "serve"]
    stderr = subprocess.DEVNULL if log_level == "INFO" else None  # a line for every request
    with _running(f"ours, {precision}", command, environment, port, is_ready, cpus, stderr) as service:
        yield service


@contextmanager
def baseline(conditions: Conditions, workers: int) -> Iterator[Service]:
    """The straightforward service in some workers, every one of which has loaded its model."""
    port = unused_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "AUTH_TOKEN": TOKEN,
            "MODEL_NAME": conditions.model,
            "PRETRAINED": conditions.pretrained,
            "READY_DIR": folder,
        }
        command = [sys.executable, "-m", "gunicorn", "--config", "python:benchmarks.gunicorn_of_baseline"]
        command += ["--workers", str(workers), "--bind", f"127.0.0.1:{port}", "benchmarks.baseline:create_app()"]

        def is_ready(_: httpx.Client) -> bool:
            return len([*Path(folder).iterdir()]) >= workers

        with _running("straightforward", command, environment, port, is_ready) as service:
            yield service


@contextmanager
def _running(
    name: str,
    command: list[str],
    environment: Mapping[str, str],
    port: int,
    is_ready: Callable[[httpx.Client], bool],
    cpus: Set[int] | None = None,
    stderr: int | None = None,
) -> Iterator[Service]:
    started = time.monotonic()
    with _confined(cpus):
        process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=stderr)
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            while not _says(is_ready, client):
                if process.poll() is not None or time.monotonic() - started > STARTING_S:
                    raise RuntimeError(f"the service ({name}) doesn't start")
                time.sleep(LOOK_EVERY_S)
            ready_s = time.monotonic() - started
            yield Service(name, port, process, ready_s, client, posts("/embed-text", "query", queries(), TOKEN))
    finally:
        _end(process)


def _says(is_ready: Callable[[httpx.Client], bool], client: httpx.Client) -> bool:
    try:
        return is_ready(client)
    except httpx.TransportError:
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to stop; what is overloaded may not listen."""
    children = [*_tree(process.pid)][1:]
    process.terminate()
    try:
        process.wait(STOPPING_S)
    except subprocess.TimeoutExpired:
        for number in (process.pid, *children):
            _kill(number)
        process.wait()


def _kill(number: int) -> None:
    try:
        os.kill(number, 9)
    except ProcessLookupError:
        return


@contextmanager
def _confined(cpus: Set[int] | None) -> Iterator[None]:
    """Let what is started in the block run on these CPUs only: it inherits them."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or allowed)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def unused_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _tree(number: int) -> Iterator[int]:
    """A process and its descendants; each is known to the thread that has started it."""
    yield number
    for children in Path(f"/proc/{number}/task").glob("*/children"):
        for child in _read(children).split():
            yield from _tree(int(child))


def resident(number: int) -> int:
    """Bytes of memory that a process holds; none if it has ended."""
    fields = _read(Path(f"/proc/{number}/statm")).split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
