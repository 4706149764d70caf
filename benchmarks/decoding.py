"""What decoding in processes of its own costs, and what it gains on several cores."""

import asyncio
import io
import statistics
import time
from itertools import pairwise

import numpy as np
from app.config import Settings
from app.embeddings.preprocess import Preprocessing
from app.images.decode import decode
from app.images.decoders import Decoders
from app.resources import cores
from PIL import Image

PREPROCESSING = Preprocessing(224, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic", "shortest", 0)
SIZE = (1536, 1200)
AT_ONCE = 8
ROUNDS = 15


def table() -> str:
    """One JPEG alone, in this process and in one of its own, and eight at once on one process and on all cores."""
    data = _jpeg()
    here, apart, one, all_cores = asyncio.run(_measured(data))
    return "\n".join(
        [
            "## Decoding\n",
            f"A JPEG of {SIZE[0]} x {SIZE[1]}, decoded and resized for ViT-B-32, median of {ROUNDS} rounds.\n",
            "| what | takes |",
            "| --- | --- |",
            f"| in the service's own process | {here * 1000:.1f} ms |",
            f"| in a decoder's process | {apart * 1000:.1f} ms |",
            f"| {AT_ONCE} at once, one process | {one * 1000:.0f} ms |",
            f"| {AT_ONCE} at once, {cores()} processes | {all_cores * 1000:.0f} ms ({one / all_cores:.2f} times) |",
            "",
        ]
    )


async def _measured(data: bytes) -> tuple[float, float, float, float]:
    single, several = Decoders(Settings.load(), 1), Decoders(Settings.load(), cores())
    for decoders in (single, several):
        decoders.start()
        await asyncio.gather(*(decoders.look(data, PREPROCESSING) for _ in range(2 * AT_ONCE)))
    rounds = []
    for _ in range(ROUNDS):
        times = [time.perf_counter()]
        PREPROCESSING(decode(data, SIZE[0] * SIZE[1]).image)
        times.append(time.perf_counter())
        await single.look(data, PREPROCESSING)
        times.append(time.perf_counter())
        for decoders in (single, several):
            await asyncio.gather(*(decoders.look(data, PREPROCESSING) for _ in range(AT_ONCE)))
            times.append(time.perf_counter())
        rounds.append([end - start for start, end in pairwise(times)])
    for decoders in (single, several):
        await decoders.close()
    here, apart, one, all_cores = (statistics.median(column) for column in zip(*rounds, strict=True))
    return here, apart, one, all_cores


def _jpeg() -> bytes:
    """Soft shapes with some noise, as a photograph has them."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse, np.float32) + rng.normal(0, 6, (SIZE[1], SIZE[0], 3))
    stream = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=88)
    return stream.getvalue()
