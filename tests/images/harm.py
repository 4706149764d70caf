"""What pictures may do to the process that looks at them, as callables. It imports as little as that process."""

import json
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def nothing(image: Image.Image) -> Pixels:
    return np.asarray(image)


def hang(image: Image.Image) -> Pixels:
    while True:
        pass


def crash(image: Image.Image) -> Pixels:
    os.kill(os.getpid(), signal.SIGSEGV)
    return nothing(image)


def ask_for_too_much(image: Image.Image) -> Pixels:
    return np.zeros(2**34, np.uint8)


def take_all_there_is(image: Image.Image) -> Pixels:
    """Take memory until there is no more; the answer is what there was."""
    taken = []
    try:
        while True:
            taken.append(np.ones(2**20, np.uint8))
    except MemoryError:
        taken.clear()
        return peak(image)


def peak(image: Image.Image) -> Pixels:
    """The most memory that the process ever had, in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return _number(int(line.split()[1]) * 1024)


def process(image: Image.Image) -> Pixels:
    return _number(os.getpid())


def fail(image: Image.Image) -> Pixels:
    raise ZeroDivisionError("a defect of ours")


def modules(image: Image.Image) -> Pixels:
    return np.frombuffer(json.dumps(list(sys.modules)).encode(), np.uint8)


def environment(image: Image.Image) -> Pixels:
    return np.frombuffer(json.dumps(dict(os.environ)).encode(), np.uint8)


@dataclass(frozen=True)
class Visit:
    """Connects to a port and stays until it is let go."""

    port: int

    def __call__(self, image: Image.Image) -> Pixels:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.recv(1)
        return nothing(image)


def number(pixels: Pixels) -> int:
    """What `process` and `peak` answer."""
    return int.from_bytes(pixels.tobytes(), "little")


def _number(value: int) -> Pixels:
    return np.frombuffer(value.to_bytes(8, "little"), np.uint8)
