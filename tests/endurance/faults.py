"""What is done to the service while it works."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from time import monotonic
from typing import Literal

from tests.endurance import procfs
from tests.endurance.service import Service

Kind = Literal["worker killed", "decoder killed", "workers replaced"]
OF_WORKERS: tuple[Kind, ...] = ("worker killed", "workers replaced")
# A signal takes less.
STOPPING_S = 0.001
KINDS: tuple[Kind, ...] = (*OF_WORKERS, "decoder killed")


@dataclass(frozen=True)
class Fault:
    """Something that was done, when, and the callers' ports of the connections that were held by what was killed."""

    kind: Kind
    at: float
    ports: frozenset[int] = frozenset()


def kill_worker(service: Service, number: int) -> Fault:
    """Kill a worker as the kernel does when memory ends.

    It is stopped first, so that what it holds is known exactly when it dies.
    """
    ports: frozenset[int] = frozenset()
    at = monotonic()
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGSTOP)
        while not procfs.is_stopped(number):
            time.sleep(STOPPING_S)
        ports = procfs.callers(number, service.port)
        os.kill(number, signal.SIGKILL)
    return Fault("worker killed", at, ports)


def kill_decoder(number: int) -> Fault:
    """Kill a decoder in the same way."""
    at = monotonic()
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
    return Fault("decoder killed", at)


def replace_workers(service: Service) -> Fault:
    """Ask for new workers in the place of all."""
    at = monotonic()
    service.process.send_signal(signal.SIGHUP)
    return Fault("workers replaced", at)


def commit(kind: Kind, service: Service, rng: Random) -> Fault | None:
    """Do one, if there is somebody to do it to."""
    if kind == "workers replaced":
        return replace_workers(service)
    victims = service.workers() if kind == "worker killed" else service.decoders()
    if not victims:
        return None
    victim = rng.choice(victims)
    return kill_worker(service, victim) if kind == "worker killed" else kill_decoder(victim)


def in_turn(kinds: tuple[Kind, ...], rng: Random) -> Iterator[Kind]:
    """Kinds in random order, none much more often than another."""
    while True:
        yield from rng.sample(kinds, len(kinds))
