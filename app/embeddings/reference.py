"""The fixed texts and pictures by which a model is judged: when it is exported, and at every start."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TEXTS: Sequence[str] = (
    "a",
    "a stormy sea at night",
    "portrait of a woman in a red dress",
    "Still life with lemons & a pewter jug, oil on canvas, 1642",
    "two dogs running on a beach in the evening sun",
    "Œuvre d'art – «Nature morte» n° 7",
    "睡蓮の池に架かる橋",
    "🌊🌙 3,141.59 %",
    "an abstract composition of squares, " * 4,
    "a crowd of people waiting for a train at a station in the rain, seen from above, " * 8,
)

# Width and height of each picture.
PICTURES: Sequence[tuple[int, int]] = ((224, 224), (640, 480), (480, 640), (64, 64), (1000, 150), (97, 331), (300, 299))


def pictures(count: int = len(PICTURES)) -> list[Image.Image]:
    """Deterministic pictures of several shapes: waves of colour, edges and some noise, as photographs have them."""
    return [_picture(seed, width, height) for seed, (width, height) in enumerate(PICTURES[:count])]


def cosines(vectors: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row by row, how far two sets of vectors agree."""
    a, b = vectors.astype(np.float64), others.astype(np.float64)
    result: NDArray[np.float64] = np.sum(a * b, axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return result


def _picture(seed: int, width: int, height: int) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    waves = [
        np.sin(2 * math.pi * ((seed + 1) * across + (channel + 1) * down * (1 + seed / 3) + channel / 3))
        for channel in range(3)
    ]
    light = 128 + 90 * np.stack(waves, axis=-1)
    light[(across - 0.5) ** 2 + (down - 0.5) ** 2 < 0.02 * (seed + 1)] += (60, -60, 30)
    light += np.random.default_rng(seed).normal(0, 8, light.shape)
    return Image.fromarray(np.clip(light, 0, 255).astype(np.uint8), "RGB")
