"""The service in real processes, looked at and treated from outside."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO

from app.config import DEMONSTRATION, Settings

from tests.endurance import procfs
from tests.endurance.forms import TOKEN
from tests.endurance.known import COMPUTING
from tests.endurance.wire import Connection, Lost, connect

ROOT = Path(__file__).parents[2]
MARKER = "ENDURANCE"
DECODER = "app.images.child"
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
STARTING_S = 60.0
STOPPING_S = 60.0
LOOK_EVERY_S = 0.02
# New connections go to whichever worker is quickest, so that several at once reach all of them.
PROBES = 8
PROBE_S = 5.0


@dataclass(frozen=True)
class Service:
    """A service that was started here. Its files can only lie in `folder`, in /tmp and in /dev/shm."""

    process: "subprocess.Popen[bytes]"
    port: int
    count: int
    folder: Path
    log: Path
    marker: str

    def workers(self) -> list[int]:
        """The processes that answer requests, or will."""
        return [number for number in procfs.children(self.process.pid) if not is_decoder(number)]

    def processes(self) -> list[int]:
        """All of its processes, whoever their parent is by now."""
        return procfs.marked(self.marker)

    def decoders(self) -> list[int]:
        """The processes that decode images."""
        return [number for number in self.processes() if is_decoder(number)]

    async def ready(self) -> set[int]:
        """Workers that say they are healthy, among those that some new connections reach."""
        connections = await asyncio.gather(*(_healthy(self.port) for _ in range(PROBES)))
        ports = {connection.port for connection in connections if connection is not None}
        found = {number for number in self.workers() if ports & procfs.callers(number, self.port)}
        for connection in connections:
            if connection is not None:
                connection.hang_up()
        return found

    async def until_ready(self, but: frozenset[int] = frozenset(), within_s: float = STARTING_S) -> float:
        """The seconds until as many workers are healthy as there should be, and some others have ended.

        Raises:
            TimeoutError: that takes too long.
        """
        healthy: set[int] = set()

        async def all_ready() -> bool:
            healthy.update(await self.ready())
            workers = set(self.workers())
            return len(workers & healthy) == self.count and not workers & but

        started = monotonic()
        while not await all_ready():
            if monotonic() - started > within_s or self.process.poll() is not None:
                raise TimeoutError(f"the service isn't ready within {within_s:g} s: {self.last_words()}")
            await asyncio.sleep(LOOK_EVERY_S)
        return monotonic() - started

    async def ended(self, within_s: float = STOPPING_S) -> int | None:
        """The exit status of the process that was started, or None if it goes on."""
        await until(lambda: self.process.poll() is not None, within_s)
        return self.process.poll()

    async def gone(self, within_s: float) -> list[int]:
        """The processes that are left after some seconds."""
        await until(lambda: not self.processes(), within_s)
        return self.processes()

    def left_behind(self) -> list[str]:
        """Files in its folder that weren't there before it was started."""
        return [str(file.relative_to(self.folder)) for file in self.folder.rglob("*") if not file.is_dir()]

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]


@asynccontextmanager
async def running(folder: Path, workers: int, **settings: str) -> AsyncIterator[Service]:
    """A service that is ready, on the bundled model. Nothing of it is left after the block."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    log = folder / "log"
    with log.open("wb") as stream:
        service = _started(home, log, stream, workers, settings)
    try:
        await service.until_ready()
        yield service
    finally:
        service.process.terminate()
        await until(lambda: service.process.poll() is not None, STOPPING_S)
        # Again until none is left: one may just be starting another.
        await until(lambda: not _killed(service.processes()), STOPPING_S)
        service.process.wait()


def _started(home: Path, log: Path, stream: IO[bytes], workers: int, settings: dict[str, str]) -> Service:
    port = _unused_port()
    marker = f"{MARKER}={secrets.token_hex(8)}"
    environment = {
        **{name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields},
        **dict([marker.split("=")]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "clients" / "python")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "TMPDIR": str(home),
        "AUTH_TOKEN": TOKEN,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "MODEL_NAME": DEMONSTRATION,
        **{name.upper(): value for name, value in COMPUTING.items()},
        "MODEL_CACHE_DIR": str(home / "cache"),
        "ALLOW_PRIVATE_NETWORKS": "true",
        "LOG_FORMAT": "json",
        **settings,
    }
    command = [sys.executable, "-m", "app.cli", "serve", "--workers", str(workers)]
    process = subprocess.Popen(
        # A session of its own: Ctrl-C on the terminal is for those who watch.
        command, env=environment, cwd=home, stderr=stream, stdout=stream, start_new_session=True
    )  # fmt: skip
    return Service(process, port, workers, home, log, marker)


def _killed(processes: list[int]) -> list[int]:
    for number in processes:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    return processes


def is_decoder(number: int) -> bool:
    """Whether a process decodes images."""
    return DECODER in procfs.command(number)


async def until(condition: Callable[[], bool], within_s: float) -> float | None:
    """The seconds until something is so; None if it isn't by then."""
    started = monotonic()
    while not condition():
        if monotonic() - started > within_s:
            return None
        await asyncio.sleep(LOOK_EVERY_S)
    return monotonic() - started


async def _healthy(port: int) -> Connection | None:
    """A new connection to a worker that says it is healthy."""
    try:
        async with asyncio.timeout(PROBE_S):
            connection = await connect(port)
    except OSError:
        return None
    try:
        answer = await connection.ask(HEALTH, PROBE_S)
    except Lost:
        connection.hang_up()
        return None
    if answer.status == 200 and connection.usable:
        return connection
    connection.hang_up()
    return None


def _unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
