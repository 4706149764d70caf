"""What decoding in processes of its own costs, and what it gains on several cores."""

import asyncio
import statistics
import time
from itertools import pairwise

from app.config import Settings
from app.embeddings.preprocess import Preprocessing
from app.images.decode import look
from app.images.decoders import Decoders
from app.resources import cores

from benchmarks.conditions import Conditions
from benchmarks.photograph import SIZE, photograph
from benchmarks.report import Section, rows

PREPROCESSING = Preprocessing(224, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic", "shortest", 0)
AT_ONCE = 8
ROUNDS = 15


def table(conditions: Conditions) -> Section:
    """One JPEG alone, in this process and in one of its own, and eight at once on one process and on all cores."""
    here, apart, one, all_cores = asyncio.run(_measured(photograph(), conditions.rounds(ROUNDS)))
    lines = [
        ["in the service's own process", f"{here * 1000:.1f} ms"],
        ["in a decoder's process", f"{apart * 1000:.1f} ms"],
        [f"{AT_ONCE} at once, one process", f"{one * 1000:.0f} ms"],
        [f"{AT_ONCE} at once, {cores()} processes", f"{all_cores * 1000:.0f} ms ({one / all_cores:.2f} times)"],
    ]
    return Section(
        "## Decoding\n\n"
        f"A JPEG of {SIZE[0]} x {SIZE[1]}, decoded and resized for ViT-B-32, median of {ROUNDS} rounds.\n\n"
        + rows(["what", "takes"], lines)
    )


async def _measured(data: bytes, count: int) -> tuple[float, float, float, float]:
    single, several = Decoders(Settings.load(), 1), Decoders(Settings.load(), cores())
    for decoders in (single, several):
        decoders.start()
        await asyncio.gather(*(decoders.look(data, PREPROCESSING) for _ in range(2 * AT_ONCE)))
    rounds = []
    for _ in range(count):
        times = [time.perf_counter()]
        look(data, SIZE[0] * SIZE[1], PREPROCESSING)
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
