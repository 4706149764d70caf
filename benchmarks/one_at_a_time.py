"""How long one text and one picture take beside `open_clip` in float32, in turn, in one process."""

import statistics
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import open_clip
import torch

from benchmarks.conditions import Conditions
from benchmarks.prepare import loaded, original
from benchmarks.report import Section, rows

QUERY = "a stormy sea"
ROUNDS = 9
CALLS = 10


@torch.inference_mode()
def table(conditions: Conditions) -> Section:
    """Milliseconds, and how many times faster; the median over rounds in which each takes its turn."""
    theirs, _ = original(conditions)
    ids = open_clip.get_tokenizer(conditions.model)([QUERY])
    size, rounds = conditions.architecture.image_size, conditions.rounds(ROUNDS)
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    picture = torch.randn(1, 3, size, size)
    lines = []
    for precision in conditions.precisions:
        model = loaded(conditions, precision)
        row = model.tokenize(QUERY).ids
        query = _compare(partial(theirs.encode_text, ids), partial(model.embed_tokens, [row]), rounds)
        image = _compare(partial(theirs.encode_image, picture), partial(model.embed_pixels, [pixels]), rounds)
        lines.append([f"a query of {len(row)} tokens", precision, *query])
        lines.append([f"a picture of {size} x {size}", precision, *image])
    head = ["what", "ours in", "open_clip in float32", "ours", "times faster (slowest and fastest round)"]
    return Section("## One at a time, in the engine\n\n" + rows(head, lines))


def _compare(theirs: Callable[[], Any], ours: Callable[[], Any], count: int) -> list[str]:
    rounds = [(_milliseconds(theirs), _milliseconds(ours)) for _ in range(count)]
    slow, fast = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratios = sorted(a / b for a, b in rounds)
    spread = f"({ratios[0]:.1f} and {ratios[-1]:.1f})"
    return [f"{slow:.1f} ms", f"{fast:.2f} ms", f"{statistics.median(ratios):.1f} {spread}"]


def _milliseconds(call: Callable[[], Any]) -> float:
    """The median of some calls, after one that doesn't count."""
    call()
    times = []
    for _ in range(CALLS):
        started = perf_counter()
        call()
        times.append((perf_counter() - started) * 1000)
    return statistics.median(times)
