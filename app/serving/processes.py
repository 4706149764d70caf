"""How many workers, and gunicorn to run them."""

import itertools
import logging
import math
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger as GunicornLogger

from app.config import Settings, architecture
from app.embeddings.engines.choice import Choice
from app.embeddings.prepared import find
from app.resources import allow_open_files, cores, gpus, memory
from app.serving.arbiter import Arbiter
from app.serving.worker import Worker
from app.telemetry import metrics

logger = logging.getLogger(__name__)

MOST_WORKERS = 4
BYTES_PER_WORKER = 1_300_000_000
# Of those, what a worker holds beside its model's weights.
BYTES_WITHOUT_WEIGHTS = 700_000_000
# Beyond its grace time a worker has so long to close what it has open.
CLOSING_S = 5
# Longer than the event loop of a worker can be busy with one thing.
SILENCE_S = 60
# What a worker has open beside its callers' connections: those to image hosts, decoders, libraries.
OTHER_FILES = 512
SHARED_MEMORY = Path("/dev/shm")


def count(settings: Settings, choice: Choice) -> int:
    """How many workers to start: as many as were asked for, or as cores, memory and GPUs carry."""
    if settings.workers != "auto":
        return settings.workers
    if choice.device == "cuda":
        return gpus()
    return max(1, min(MOST_WORKERS, cores() // 2, memory() // bytes_per_worker(settings)))


def bytes_per_worker(settings: Settings) -> int:
    """How much memory to reckon with for each worker; more than usual if the prepared model is large."""
    name = architecture(settings.model_name)
    prepared = find(settings.model_cache_dir, name, settings.pretrained, thoroughly=False)
    weights = sum(file.stat().st_size for file in prepared.folder.glob("*.bin")) if prepared else 0
    return max(BYTES_PER_WORKER, BYTES_WITHOUT_WEIGHTS + weights)


class Logger(GunicornLogger):
    """gunicorn's own lines, in the form of all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)  # LOG_LEVEL, which the root logger has, holds for all


class Processes(BaseApplication):
    """Workers of one application, each with its own place in the count and its share of the threads."""

    def __init__(self, settings: Settings, workers: int, make_app: Callable[[int, int], Any]) -> None:
        self._settings = settings
        self._workers = workers
        self._make_app = make_app
        self._place = 0
        self._numbers = Path()  # where workers keep what they count
        super().__init__()

    def load_config(self) -> None:
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        options = {
            "bind": f"{host}:{self._settings.port}",
            "workers": self._workers,
            "worker_class": Worker,
            "graceful_timeout": math.ceil(self._settings.grace_s) + CLOSING_S,
            "timeout": SILENCE_S,
            "keepalive": self._settings.keep_alive_s,
            "control_socket_disable": True,
            "worker_tmp_dir": _memory(),  # for the files through which workers show that they live
            "proc_name": "tate-embeddings",
            "logger_class": "app.serving.processes.Logger",
            "pre_fork": _take_place,
            "post_fork": self._in_worker,
            "child_exit": self._after_worker,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Serve until a signal ends it."""
        wanted = self._settings.max_connections + OTHER_FILES
        allowed = allow_open_files(wanted)
        if allowed < wanted:
            logger.warning("only %d files may be open, and MAX_CONNECTIONS with others makes %d", allowed, wanted)
        number = os.getpid()
        self._numbers = Path(tempfile.mkdtemp(prefix="tate-embeddings-", dir=_memory()))
        try:
            Arbiter(self).run()
        finally:
            if os.getpid() == number:  # workers, which are forked from it, come here too
                shutil.rmtree(self._numbers, ignore_errors=True)

    def load(self) -> Any:
        """The application, made in the worker itself."""
        threads = max(1, cores() // self._workers)
        return self._make_app(self._place, threads)

    def _in_worker(self, arbiter: Any, worker: Any) -> None:
        """Called in a new worker's process."""
        self._place = worker.place
        worker.others = [*arbiter.WORKERS.values()]
        worker.stopping = arbiter.stopping
        worker.numbers = self._numbers
        metrics.share(self._numbers, worker.place)
        metrics.worker_started(worker.place)

    def _after_worker(self, _: Any, worker: Any) -> None:
        """Called when a worker has ended."""
        metrics.forget(self._numbers, worker.place)


def _memory() -> str | None:
    """Where files lie in memory, if there is such a place."""
    return str(SHARED_MEMORY) if os.access(SHARED_MEMORY, os.W_OK) else None


def _take_place(arbiter: Any, worker: Any) -> None:
    """Give a new worker the place of one that has ended, or one that stands for the same GPU as its that is to go.

    Places stand for the same GPU if they are as many apart as there are workers.
    """
    staying = Counter(other.place % arbiter.num_workers for other in arbiter.WORKERS.values() if not other.outdated)
    taken = {other.place for other in arbiter.WORKERS.values()}
    first = min(range(arbiter.num_workers), key=staying.__getitem__)
    worker.place = next(place for place in itertools.count(first, arbiter.num_workers) if place not in taken)
