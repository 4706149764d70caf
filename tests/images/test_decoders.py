"""Decoding in processes of their own: whatever a picture does to its decoder, the next one is decoded."""

import asyncio
import io
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.config import MIB, Settings
from app.embeddings.preprocess import FrugalPreprocessing, Preprocessing
from app.errors import (
    DecodeTimeout,
    ImageCorrupt,
    ImageError,
    ImageTooManyPixels,
    NotAnImage,
    Overloaded,
    UnsupportedFormat,
)
from app.images.decode import decode, look
from app.images.decoders import Decoders
from PIL import Image

from tests.images import harm

PREPROCESSING = Preprocessing(
    height=64, width=64, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bicubic", resize_mode="shortest", fill_color=0
)
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
# For a process that only imports numpy and Pillow, and for what is decoded here.
PLENTY = 400 * MIB


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


PICTURE = encoded(NOISE)


@asynccontextmanager
async def running(processes: int = 1, **changes: Any) -> AsyncIterator[Decoders]:
    decoders = Decoders(Settings.load(**{"max_image_pixels": 1_000_000} | changes), processes)
    decoders.start()
    try:
        yield decoders
    finally:
        await decoders.close()


@contextmanager
def door() -> Iterator[tuple[socket.socket, harm.Visit]]:
    """A port to accept guests at, and what makes a guest of a decoder."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server, harm.Visit(server.getsockname()[1])


async def guest(server: socket.socket) -> socket.socket:
    return (await asyncio.get_running_loop().sock_accept(server))[0]


async def all_at_once(decoders: Decoders, count: int) -> None:
    """Let so many look at an image that none goes before all have come."""
    with door() as (server, visit):
        looks = [asyncio.create_task(decoders.look(PICTURE, visit)) for _ in range(count)]
        for come in [await guest(server) for _ in looks]:
            come.close()
        await asyncio.gather(*looks)


def finished(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, which has to come."""
    asyncio.run(asyncio.wait_for(work, 60))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_pixels_are_those_of_decoding_in_this_process(kind: str) -> None:
    data = encoded(NOISE, kind)
    here = decode(data, 10_000)

    async def work() -> None:
        async with running() as decoders:
            seen = await decoders.look(data, PREPROCESSING)
        assert (seen.width, seen.height) == (90, 60)
        assert seen.pixels.shape == (64, 64, 3)
        assert seen.pixels.tobytes() == PREPROCESSING(here.image).tobytes()

    finished(work())


def test_a_process_decodes_no_more_than_a_frugal_model_needs() -> None:
    data = encoded(NOISE.resize((1201, 803)), "JPEG")
    frugal = FrugalPreprocessing(**vars(PREPROCESSING))
    picture, pixels = look(data, 1_000_000, frugal)
    assert picture.image.size == (301, 201)

    async def work() -> None:
        async with running() as decoders:
            seen = await decoders.look(data, frugal)
        assert (seen.width, seen.height) == (1201, 803)
        assert seen.pixels.tobytes() == pixels.tobytes()

    finished(work())


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"hello", NotAnImage),
        (b"8BPS" + bytes(100), UnsupportedFormat),
        (PICTURE[:1000], ImageCorrupt),
        (encoded(Image.new("1", (2000, 2000))), ImageTooManyPixels),
    ],
    ids=["no image", "another format", "truncated", "too large"],
)
def test_what_is_wrong_with_an_image_is_said_as_in_this_process(data: bytes, kind: type[ImageError]) -> None:
    with pytest.raises(ImageError) as here:
        decode(data, 1_000_000)

    async def work() -> None:
        async with running() as decoders:
            with pytest.raises(kind) as there:
                await decoders.look(data, PREPROCESSING)
        assert (type(there.value), there.value.detail) == (type(here.value), here.value.detail)
        assert bool(there.value.__cause__) == bool(here.value.__cause__)

    finished(work())


def test_a_process_that_refused_an_image_is_kept() -> None:
    async def work() -> None:
        async with running() as decoders:
            before = await decoders.look(PICTURE, harm.process)
            with pytest.raises(NotAnImage):
                await decoders.look(b"hello", harm.process)
            after = await decoders.look(PICTURE, harm.process)
        assert harm.number(before.pixels) == harm.number(after.pixels)

    finished(work())


def test_an_image_that_hangs_is_given_up_and_the_next_is_decoded() -> None:
    async def work() -> None:
        async with running(decode_timeout_s=0.5) as decoders:
            hung = harm.number((await decoders.look(PICTURE, harm.process)).pixels)
            with pytest.raises(DecodeTimeout):
                await decoders.look(PICTURE, harm.hang)
            assert (await decoders.look(PICTURE, PREPROCESSING)).width == 90
        with pytest.raises(ProcessLookupError):
            os.kill(hung, 0)

    finished(work())


def test_an_image_that_crashes_its_decoder_is_corrupt_and_the_next_is_decoded() -> None:
    async def work() -> None:
        async with running() as decoders:
            for _ in range(3):
                with pytest.raises(ImageCorrupt):
                    await decoders.look(PICTURE, harm.crash)
                assert (await decoders.look(PICTURE, PREPROCESSING)).width == 90

    finished(work())


def test_after_crashes_there_are_as_many_processes_as_before() -> None:
    async def work() -> None:
        async with running(2) as decoders:
            crashes = [decoders.look(PICTURE, harm.crash) for _ in range(6)]
            failures = await asyncio.gather(*crashes, return_exceptions=True)
            assert {type(failure) for failure in failures} == {ImageCorrupt}
            await all_at_once(decoders, 2)

    finished(work())


@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_ended_while_nobody_used_it_fails_no_image(signalled: signal.Signals) -> None:
    async def work() -> None:
        async with running() as decoders:
            process = harm.number((await decoders.look(PICTURE, harm.process)).pixels)
            os.kill(process, signalled)
            await asyncio.to_thread(os.waitid, os.P_PID, process, os.WEXITED | os.WNOWAIT)
            assert (await decoders.look(PICTURE, PREPROCESSING)).width == 90

    finished(work())


@pytest.mark.parametrize("signalled", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_asks_the_service_to_stop_ends_no_decoder(signalled: signal.Signals) -> None:
    async def work() -> None:
        async with running() as decoders:
            process = harm.number((await decoders.look(PICTURE, harm.process)).pixels)
            os.kill(process, signalled)
            assert harm.number((await decoders.look(PICTURE, harm.process)).pixels) == process

    finished(work())


def test_an_image_that_needs_too_much_memory_is_corrupt_and_the_next_is_decoded() -> None:
    async def work() -> None:
        async with running() as decoders:
            with pytest.raises(ImageCorrupt):
                await decoders.look(PICTURE, harm.ask_for_too_much)
            assert (await decoders.look(PICTURE, PREPROCESSING)).width == 90

    finished(work())


def test_a_process_gets_no_more_memory_than_its_share() -> None:
    async def work() -> None:
        async with running() as decoders:
            seen = await decoders.look(PICTURE, harm.take_all_there_is)
        assert 100 * MIB < harm.number(seen.pixels) < PLENTY

    finished(work())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGBA", "F", "I;16"])
def test_a_picture_of_as_many_pixels_as_are_allowed_finds_the_memory_it_needs(mode: str) -> None:
    side = 3000
    image = Image.new(mode, (side, side), 1)
    data = encoded(image, "TIFF", compression="tiff_adobe_deflate")

    async def work() -> None:
        async with running(max_image_pixels=side * side, decode_timeout_s=60) as decoders:
            assert (await decoders.look(data, PREPROCESSING)).width == side

    finished(work())


def test_a_defect_of_ours_is_not_blamed_on_the_image() -> None:
    async def work() -> None:
        async with running() as decoders:
            with pytest.raises(RuntimeError, match="a defect of ours"):
                await decoders.look(PICTURE, harm.fail)

    finished(work())


def test_a_process_that_could_not_be_started_is_started_when_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError("no more processes")

    async def work() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("app.images.decoders.subprocess.Popen", refuse)
            decoders = Decoders(Settings.load(), 1)
            decoders.start()
            with pytest.raises(BlockingIOError):
                await decoders.look(PICTURE, PREPROCESSING)
        assert (await decoders.look(PICTURE, PREPROCESSING)).width == 90
        await decoders.close()

    finished(work())


def test_an_image_that_is_being_decoded_when_the_service_stops_is_decoded() -> None:
    async def work() -> None:
        decoders = Decoders(Settings.load(), 2)
        decoders.start()
        with door() as (server, visit):
            caller = asyncio.create_task(decoders.look(PICTURE, visit))
            with await guest(server):
                closing = asyncio.create_task(decoders.close())
                await asyncio.sleep(0)
        assert (await caller).width == 90
        await closing

    finished(work())


def test_as_many_images_are_decoded_at_once_as_there_are_processes() -> None:
    async def work() -> None:
        async with running(2) as decoders:
            await all_at_once(decoders, 2)

    finished(work())


def test_a_caller_who_gives_up_leaves_no_busy_process_behind() -> None:
    async def work() -> None:
        async with running() as decoders:
            with door() as (server, visit):
                caller = asyncio.create_task(decoders.look(PICTURE, visit))
                with await guest(server) as visitor:
                    caller.cancel()
                    assert await asyncio.get_running_loop().sock_recv(visitor, 1) == b""
            assert (await decoders.look(PICTURE, PREPROCESSING)).width == 90

    finished(work())


def test_a_caller_who_gives_up_waiting_leaves_its_place_to_the_next() -> None:
    async def work() -> None:
        async with running() as decoders:
            with door() as (server, visit):
                first = asyncio.create_task(decoders.look(PICTURE, visit))
                with await guest(server):
                    second, third = (asyncio.create_task(decoders.look(PICTURE, PREPROCESSING)) for _ in range(2))
                    await asyncio.sleep(0)
                    second.cancel()
            await first
            assert (await third).width == 90

    finished(work())


@pytest.mark.slow
def test_decoders_end_when_the_service_is_killed() -> None:
    program = """
import asyncio, sys
from app.config import Settings
from app.images.decoders import Decoders
from tests.images import harm

async def work():
    decoders = Decoders(Settings.load(decode_timeout_s=2, auth_token="-"), 2)
    decoders.start()
    picture = bytes.fromhex(sys.argv[1])
    await asyncio.gather(*(decoders.look(picture, harm.nothing) for _ in range(2)))
    await decoders.look(picture, harm.Visit(int(sys.argv[2])))

asyncio.run(work())
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        service = subprocess.Popen(
            [sys.executable, "-c", program, encoded(Image.new("L", (4, 4))).hex(), str(server.getsockname()[1])],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        guest, _ = server.accept()
        with guest:
            service.kill()
            service.communicate(timeout=60)  # until the last that holds its output has ended


def test_nothing_heavy_is_imported_by_a_decoder() -> None:
    async def work() -> None:
        async with running() as decoders:
            await decoders.look(PICTURE, PREPROCESSING)
            seen = await decoders.look(PICTURE, harm.modules)
        imported = {name.partition(".")[0] for name in json.loads(seen.pixels.tobytes())}
        assert {"PIL", "numpy"} <= imported
        assert not imported & {"openvino", "torch", "open_clip", "tokenizers", "pydantic", "fastapi", "asyncio"}

    finished(work())


def test_a_decoder_is_not_told_the_service_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_TOKEN", "a-secret-of-the-service")
    monkeypatch.setenv("SOMETHING_ELSE", "something")

    async def work() -> None:
        async with running() as decoders:
            seen = await decoders.look(PICTURE, harm.environment)
        told = json.loads(seen.pixels.tobytes())
        assert "AUTH_TOKEN" not in told
        assert told["SOMETHING_ELSE"] == "something"

    finished(work())


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG of one bit a pixel."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *chunks, chunk(b"IEND", b"")])


def bombs() -> list[bytes]:
    """Small files that ask for much, in several ways."""
    nothing = zlib.compress(bytes(50 * MIB))
    gif = struct.pack("<6sHHBBB", b"GIF89a", 65535, 65535, 0x80, 0, 0) + bytes(6)
    return [
        png(20_000, 20_000, chunk(b"IDAT", nothing)),
        png(900, 900, chunk(b"iCCP", b"x\x00\x00" + nothing), chunk(b"IDAT", nothing)),
        png(900, 900, chunk(b"zTXt", b"x\x00\x00" + nothing), chunk(b"IDAT", nothing)),
        gif + struct.pack("<cHHHHBB", b",", 0, 0, 65535, 65535, 0, 8) + b"\x01\x00\x00;",
        struct.pack("<4sI8sII", b"RIFF", 22, b"WEBPVP8X", 10, 2) + b"\xfe\x3f\x00" * 2,
    ]


@pytest.mark.slow
def test_a_hundred_bombs_at_once_are_refused_in_bounded_memory() -> None:
    hundred = bombs() * 20

    async def work() -> None:
        async with running(2) as decoders:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            looks = [decoders.look(bomb, PREPROCESSING) for bomb in hundred]
            failures = await asyncio.gather(*looks, return_exceptions=True)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            peak = harm.number((await decoders.look(PICTURE, harm.peak)).pixels)
        assert [failure for failure in failures if not isinstance(failure, ImageError)] == []
        assert grown * 1024 < 100 * MIB
        assert peak < PLENTY

    finished(work())


def started_by(monkeypatch: pytest.MonkeyPatch, script: str, tmp_path: Path) -> None:
    """Let a shell script start decoders; `$PYTHON` would have."""
    starter = tmp_path / "python"
    starter.write_text(f"#!/bin/sh\nPYTHON={sys.executable}\n{script}\n")
    starter.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(starter))


def test_a_decoder_that_dies_before_it_has_seen_an_image_costs_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    started_by(monkeypatch, f'mkdir {tmp_path}/first && cat {gate} && exit 1; exec $PYTHON "$@"', tmp_path)

    async def scene() -> None:
        async with running() as decoders:
            looking = asyncio.create_task(decoders.look(PICTURE, PREPROCESSING))
            await asyncio.to_thread(gate.write_text, "")  # once the first one waits there
            assert (await looking).width == NOISE.width

    asyncio.run(scene())


def test_where_no_decoder_can_live_images_are_refused_for_now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started_by(monkeypatch, "exit 1", tmp_path)

    async def scene() -> None:
        async with running() as decoders:
            with pytest.raises(Overloaded):
                await decoders.look(PICTURE, PREPROCESSING)

    asyncio.run(scene())
