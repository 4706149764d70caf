"""How long one text and one picture take beside `open_clip` in float32, in turn, in one process."""

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import open_clip
import torch
from app.config import Precision
from app.embeddings import EmbeddingModel

QUERY = "a stormy sea"
ROUNDS = 9
CALLS = 10


@torch.inference_mode()
def table(original: Any, models: Mapping[Precision, EmbeddingModel]) -> str:
    """Milliseconds, and how many times faster; the median over rounds in which each takes its turn."""
    ids = open_clip.get_tokenizer("ViT-B-32")([QUERY])
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    picture = torch.randn(1, 3, 224, 224)
    lines = [
        "## One at a time, in the engine\n",
        "| what | open_clip in float32 | ours in | takes | times faster (slowest and fastest round) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for precision, model in models.items():
        row = model.tokenize(QUERY).ids
        query = _compare(partial(original.encode_text, ids), partial(model.embed_tokens, [row]), precision)
        image = _compare(partial(original.encode_image, picture), partial(model.embed_pixels, [pixels]), precision)
        lines += [f"| a query of {len(row)} tokens {query}", f"| a picture of 224 x 224 {image}"]
    return "\n".join(lines) + "\n"


def _compare(theirs: Callable[[], Any], ours: Callable[[], Any], precision: str) -> str:
    rounds = [(_milliseconds(theirs), _milliseconds(ours)) for _ in range(ROUNDS)]
    slow, fast = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratios = sorted(a / b for a, b in rounds)
    spread = f"({ratios[0]:.1f} and {ratios[-1]:.1f})"
    return f"| {slow:.1f} ms | {precision} | {fast:.2f} ms | {statistics.median(ratios):.1f} {spread} |"


def _milliseconds(call: Callable[[], Any]) -> float:
    """The median of some calls, after one that doesn't count."""
    call()
    times = []
    for _ in range(CALLS):
        started = perf_counter()
        call()
        times.append((perf_counter() - started) * 1000)
    return statistics.median(times)
