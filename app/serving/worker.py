"""One worker: it listens when its model is loaded, sees that it works, and ends without dropping what it has begun."""

import asyncio
import logging
import math
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from time import monotonic
from typing import Any, ClassVar

from gunicorn.arbiter import Arbiter
from uvicorn import Server as UvicornServer
from uvicorn.server import ServerState
from uvicorn_worker import UvicornWorker

from app.resources import resident
from app.serving.embedder import Embedder, State
from app.serving.protocol import bounded
from app.serving.shared import Flag
from app.telemetry import metrics

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
POLL_S = 0.05
# A worker that goes lets those who keep connections open find out by an answer's `Connection: close`: who asks at the
# moment in which an idle connection is closed gets none. Whoever hasn't asked for so long won't at that moment.
LINGER_S = 5.0
# For the last answers of a worker whose engine hangs.
LAST_WORDS_S = 1.0
# Workers that grow alike are not to be replaced at the same time.
JITTER = 0.2
FAILED = 1


class Connections(ServerState):
    """The connections of one worker; once it is `leaving`, each of them ends with its next answer."""

    leaving = False


class Server(UvicornServer):
    """uvicorn, which goes in one of two ways.

    If the service stops, it goes on listening while old work is finished, so that `/health` says `draining` and new
    work is refused. If only this worker goes, others listen: it doesn't, and answers who is connected already.
    """

    def __init__(self, config: Any, embedder: Embedder, stopping: Flag, grace_s: float) -> None:
        super().__init__(config)
        self.server_state: Connections = Connections()
        self._embedder = embedder
        self._stopping = stopping
        self._grace_s = grace_s
        self._interrupted = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Remember that it was Ctrl-C, which everybody gets."""
        self._interrupted = self._interrupted or sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def shutdown(self, *_: Any, **__: Any) -> None:
        """Finish, within the grace time, what callers may expect to be finished, and close."""
        until = monotonic() + self._grace_s
        state = self.server_state
        state.leaving = True
        if self._stopping or self._interrupted:
            self._embedder.drain()
            begun = set(state.tasks)
            await self._until(lambda: all(task.done() for task in begun), until)
        else:
            for server in self.servers:
                server.close()
            lingered = monotonic() + LINGER_S
            await self._until(lambda: not state.connections or (monotonic() > lingered and not state.tasks), until)
        self.config.timeout_graceful_shutdown = max(1, math.ceil(until - monotonic()))
        # Without sockets: uvloop closes them with its servers, and a second time something else may have their numbers.
        await super().shutdown()

    async def _until(self, done: Callable[[], bool], deadline: float) -> None:
        """Wait, unless somebody presses Ctrl-C twice."""
        while True:
            if done() or self.force_exit or monotonic() > deadline:
                return
            await asyncio.sleep(POLL_S)


class Worker(UvicornWorker):
    """uvicorn in a gunicorn worker, without the headers and lines that ours replace."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        "lifespan": "on",
        "server_header": False,
        "access_log": False,
        "callback_notify": None,  # `_watch` does it, also while uvicorn starts and stops
        "loop": "uvloop",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Made by the arbiter, before the fork."""
        super().__init__(*args, **kwargs)
        logging.getLogger("uvicorn.error").propagate = True
        self.ready = Flag()
        self.outdated = Flag()
        self.leaving = False  # known to the arbiter alone
        self.place = 0
        self.stopping = Flag()
        self.others: list[Worker] = []
        self.numbers = Path()

    def handle_exit(self, *_: Any) -> None:
        """What gunicorn sends when it is interrupted itself, and uvicorn doesn't know: an ordinary stop."""
        os.kill(os.getpid(), signal.SIGTERM)

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        settings, embedder = self.wsgi.state.services.settings, self.wsgi.state.services.embedder
        self.config.http = bounded(settings)
        self._install_sigquit_handler()
        watching = asyncio.create_task(self._watch(embedder, settings.max_memory_growth))
        if self.age > 1:  # the first of all has nobody beside it, and listens at once to say that it loads
            embedder.start()
            await embedder.settled()
            if embedder.loaded is None and any(other.ready for other in self.others):
                logger.critical("this worker is of no use; the others go on")
                sys.exit(FAILED)
        server = Server(self.config, embedder, self.stopping, settings.grace_s)
        await server.serve(sockets=self.sockets)
        watching.cancel()
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _watch(self, embedder: Embedder, most_growth: int) -> None:
        """Say that this worker lives, and look whether it should go on living."""
        most_memory = math.inf
        while True:
            self.notify()
            if os.getppid() != self.ppid:  # its arbiter was killed, and it would hold the port for ever
                shutil.rmtree(self.numbers, ignore_errors=True)
                os.kill(os.getpid(), signal.SIGTERM)
            healthy, memory = embedder.state is State.HEALTHY, resident()
            metrics.worker_ready(healthy)
            metrics.worker_memory(memory)
            if embedder.hung:
                await asyncio.sleep(LAST_WORDS_S)
                os._exit(FAILED)  # the thread in which it hangs would keep the process
            if healthy and not self.ready:
                self.ready.raise_()
                if most_growth:
                    most_memory = memory + most_growth * SystemRandom().uniform(1 - JITTER, 1 + JITTER)
            if memory > most_memory and not self.outdated:
                logger.warning("this worker has grown to %d bytes and will be replaced", memory)
                self.outdated.raise_()
            await asyncio.sleep(LOOK_EVERY_S)
