"""Decoding and resizing in processes of their own: what an image does to its decoder costs one request at most."""

import asyncio
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from anyio.to_thread import run_sync
from numpy.typing import NDArray
from PIL import Image

from app.config import MIB, Settings
from app.errors import DecodeTimeout, ImageCorrupt, ImageTooManyPixels, NotAnImage, Overloaded, UnsupportedFormat
from app.images.child import READY, SIZES
from app.telemetry import metrics

logger = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]

# What a process may have: the interpreter and its libraries, the image's bytes as read and as parsed, and its pixels
# in every form that they pass through at once. The costliest are fractions, which are scaled in 64 bits: 34 bytes each.
BYTES_AT_REST = 192 * MIB
BYTES_PER_BYTE = 3
BYTES_PER_PIXEL = 40
# For a process to start, or to end when nothing is left to do, on a machine that is very busy.
PATIENCE_S = 60.0

ENVIRONMENT = {
    # glibc keeps a usual picture's memory for the next one: asking the system anew, page by page, takes a third of the
    # time of decoding. Larger pieces are mapped apart and given back, as a large picture's would not otherwise be.
    "MALLOC_MMAP_THRESHOLD_": str(12 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(64 * MIB),
    "OPENBLAS_NUM_THREADS": "1",  # nothing here needs the threads that it would start
}

# Of an image whose decoder ends before it has seen it.
TRIES = 2


class NeverReady(Exception):
    """A decoder that is of no use, whatever it is asked for."""


# Why a decoder doesn't get to the end of an image, as operators count it; anything else is a defect.
TIMEOUT, CRASH, CANCELLED, DEFECT = "timeout", "crash", "cancelled", "defect"
KILLS = {DecodeTimeout: TIMEOUT, ImageCorrupt: CRASH, NeverReady: CRASH, asyncio.CancelledError: CANCELLED}

REFUSALS = {kind.code: kind for kind in (NotAnImage, UnsupportedFormat, ImageCorrupt, ImageTooManyPixels)}


@dataclass(frozen=True)
class Seen:
    """A picture as the model wants it; width and height are the decoded picture's."""

    pixels: Pixels
    width: int
    height: int


class Decoders:
    """As many processes as may decode at once: `count`. Who comes when all are busy waits for one."""

    def __init__(self, settings: Settings, processes: int) -> None:
        self._limit_s = settings.decode_timeout_s
        self.count = processes
        pixels = settings.max_image_pixels
        memory = BYTES_AT_REST + BYTES_PER_BYTE * settings.max_image_bytes + BYTES_PER_PIXEL * pixels
        self._arguments = [str(pixels), str(memory), str(self._limit_s)]
        # The last one used comes first: the others may sleep. None stands for one that could not be started.
        self._idle: asyncio.LifoQueue[_Process | None] = asyncio.LifoQueue()
        self._ending: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the processes; returns at once. Pictures wait until this is called."""
        for _ in range(self.count):
            self._idle.put_nowait(self._started())

    async def close(self) -> None:
        """Let them finish what they have begun, and end them."""
        for _ in range(self.count):
            self._end(await self._idle.get())
        await asyncio.gather(*self._ending)

    async def look(self, data: bytes, preprocess: Callable[[Image.Image], Pixels]) -> Seen:
        """Decode an image and make of it what a model wants.

        Args:
            data: the image as it was sent.
            preprocess: a picklable callable from a module that is cheap to import.

        Raises:
            ImageError: it isn't an image, can't be read, is too large, or has crashed its decoder.
            DecodeTimeout: it took longer than the limit.
            Overloaded: no decoder can be had.
        """
        with metrics.decoding():
            return _seen(*await self._asked(pickle.dumps(preprocess), data))

    async def _asked(self, preprocess: bytes, data: bytes) -> tuple[dict[str, Any], bytearray]:
        for _ in range(TRIES):
            with suppress(NeverReady):
                return await self._asked_once(preprocess, data)
        raise Overloaded("Images can't be decoded now; try again soon.")

    async def _asked_once(self, preprocess: bytes, data: bytes) -> tuple[dict[str, Any], bytearray]:
        async with self._free() as process:
            await process.ready()
            try:
                async with asyncio.timeout(self._limit_s):
                    return await process.ask(preprocess, data)
            except TimeoutError:
                raise DecodeTimeout(f"The image was not decoded within {self._limit_s:g} seconds.") from None
            except (EOFError, ConnectionError) as error:
                raise ImageCorrupt("The image makes its decoder fail.") from error

    @asynccontextmanager
    async def _free(self) -> AsyncIterator["_Process"]:
        """A process that nobody uses. It is replaced unless what is done with it ends well: it may still be busy."""
        process = await self._idle.get()
        try:
            if process is None or process.has_ended():
                self._end(process, CRASH)
                process = None
                process = _Process(self._arguments)
            yield process
        except BaseException as error:
            self._end(process, KILLS.get(type(error), DEFECT))
            process = self._started()
            raise
        finally:
            self._idle.put_nowait(process)

    def _started(self) -> "_Process | None":
        try:
            return _Process(self._arguments)
        except OSError:
            logger.exception("a decoder could not be started")
            return None

    def _end(self, process: "_Process | None", killed: str | None = None) -> None:
        """End a process: once it has nothing left to do or, with a reason, at once."""
        if process is not None:
            if killed:
                metrics.decoder_killed(killed)
            task = asyncio.create_task(process.end(at_once=killed is not None))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


class _Process:
    """One decoder and the socket to it.

    It is neither forked, because the service has threads and perhaps CUDA, nor left to `multiprocessing`, which would
    import the service's main module into it.
    """

    def __init__(self, arguments: list[str]) -> None:
        self._is_ready = False
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-W", "ignore", "-m", "app.images.child", *arguments],
                    stdin=theirs.fileno(),
                    env=_without_settings() | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)},
                    start_new_session=True,  # Ctrl-C on a terminal is for the service, which closes what it has open
                )
            except OSError:
                self._channel.close()
                raise

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    async def ready(self) -> None:
        """Wait until the process has imported what it needs.

        Raises:
            NeverReady: it won't come to that, for which no image is to blame.
        """
        if not self._is_ready:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._receive(len(READY))
            except (EOFError, ConnectionError, TimeoutError) as error:
                raise NeverReady from error
            self._is_ready = True

    async def ask(self, preprocess: bytes, data: bytes) -> tuple[dict[str, Any], bytearray]:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._channel, SIZES.pack(len(preprocess), len(data)) + preprocess)
        await loop.sock_sendall(self._channel, data)
        report, pixels = SIZES.unpack(await self._receive(SIZES.size))
        return json.loads(await self._receive(report)), await self._receive(pixels)

    async def end(self, *, at_once: bool) -> None:
        self._channel.close()
        if at_once or not self._is_ready:
            self._process.kill()
        try:
            await run_sync(self._process.wait, PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await run_sync(self._process.wait)
        if at_once:
            logger.warning("a decoder ended with status %d and was replaced", self._process.returncode)

    async def _receive(self, size: int) -> bytearray:
        received = bytearray(size)
        rest = memoryview(received)
        while rest:
            count = await asyncio.get_running_loop().sock_recv_into(self._channel, rest)
            if count == 0:
                raise EOFError("the decoder has ended")
            rest = rest[count:]
        return received


def _without_settings() -> dict[str, str]:
    """The environment but for the service's settings: what meets hostile bytes should hold no secret."""
    return {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}


def _seen(report: dict[str, Any], pixels: bytearray) -> Seen:
    if "defect" in report:
        raise RuntimeError(f"a decoder failed: {report['defect']}")
    if "code" in report:
        cause = report["cause"]
        raise REFUSALS[report["code"]](report["detail"]) from (None if cause is None else RuntimeError(cause))
    shape = report.pop("shape")
    return Seen(np.frombuffer(pixels, np.uint8).reshape(shape), **report)
