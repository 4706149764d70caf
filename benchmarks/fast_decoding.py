"""What `DECODING=fast` saves on a JPEG, and how near its vectors are to those of exact decoding."""

import io
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from app.config import DEMONSTRATION, Settings
from app.embeddings import EmbeddingModel, reference
from app.embeddings.preprocess import FrugalPreprocessing, Preprocessing
from app.images.decode import look
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.conditions import Conditions
from benchmarks.decoding import PREPROCESSING
from benchmarks.photograph import SIZE, photograph
from benchmarks.prepare import loaded
from benchmarks.report import Section, rows

ROUNDS = 15
# Sides from what is hardly reduced to a camera's, some of them odd.
SIZES = ((800, 600), SIZE, (1003, 1501), (2400, 2400), (4000, 3000))
QUALITIES = (70, 85, 95)
NO_LIMIT = 10**9


def table(conditions: Conditions) -> Section:
    """Times, and cosines with random weights and in the bundled model."""
    settings = Settings.load(precision="float32", device="cpu")
    models = [loaded(conditions, "float32"), EmbeddingModel(DEMONSTRATION, "bundled", settings=settings)]
    kinds = {"photograph": _photograph, "line art": _line_art}
    sizes = SIZES[:2] if conditions.quick else SIZES
    pictures = {kind: [make(seed, *size) for seed, size in enumerate(sizes)] for kind, make in kinds.items()}
    files = {
        kind: [_encoded(picture, quality) for picture in made for quality in QUALITIES]
        for kind, made in pictures.items()
    }
    files["reference"] = [_encoded(picture, QUALITIES[-1]) for picture in reference.pictures()]
    return Section(
        "## Fast decoding\n\n"
        f"`DECODING=fast` beside `exact`, for ViT-B-32 in one process, median of {ROUNDS} rounds taken in turn.\n\n"
        + rows(["a JPEG of", "exact", "fast", "of exact"], _times(files["photograph"][-1], sizes[-1], conditions))
        + "\nCosine of fast to exact in float32, over JPEGs of "
        f"{min(map(min, sizes))} to {max(map(max, sizes))} pixels a side in qualities of "
        f"{', '.join(map(str, QUALITIES))}, and over the reference pictures.\n\n"
        + rows(["model", "pictures", "decoded to less", "lowest", "median"], _nearness(models, files))
    )


def _times(largest: bytes, size: tuple[int, int], conditions: Conditions) -> list[list[str]]:
    frugal = FrugalPreprocessing(**vars(PREPROCESSING))
    lines = []
    for (width, height), data in ((SIZE, photograph()), (size, largest)):
        exact, fast = _in_turn(data, conditions.rounds(ROUNDS), PREPROCESSING, frugal)
        lines.append([f"{width} x {height}", f"{exact * 1000:.1f} ms", f"{fast * 1000:.1f} ms", f"{fast / exact:.2f}"])
    return lines


def _nearness(models: Sequence[EmbeddingModel], files: dict[str, list[bytes]]) -> list[list[str]]:
    lines = []
    for model in models:
        for kind, of_kind in files.items():
            reduced, cosines = _cosines(model, of_kind)
            name = "tiny-gallery" if "tiny-gallery" in model.manifest.architecture else model.manifest.architecture
            found = [f"{cosines.min():.6f}", f"{np.median(cosines):.6f}"]
            lines.append([name, kind, f"{reduced} of {len(of_kind)}", *found])
    return lines


def _in_turn(data: bytes, count: int, *ways: Preprocessing) -> list[float]:
    rounds = []
    for _ in range(count):
        times = [time.perf_counter()]
        for preprocess in ways:
            look(data, NO_LIMIT, preprocess)
            times.append(time.perf_counter())
        rounds.append([end - start for start, end in pairwise(times)])
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def _cosines(model: EmbeddingModel, files: Sequence[bytes]) -> tuple[int, NDArray[np.float64]]:
    """How many of these the model would have decoded to less, and the cosines of that to exact decoding."""
    frugal = FrugalPreprocessing(**vars(model.preprocessing))
    fast = [look(data, NO_LIMIT, frugal) for data in files]
    exact = [look(data, NO_LIMIT, model.preprocessing)[1] for data in files]
    reduced = sum(picture.area is not None for picture, _ in fast)
    return reduced, reference.cosines(model.embed_pixels([pixels for _, pixels in fast]), model.embed_pixels(exact))


def _photograph(seed: int, width: int, height: int) -> Image.Image:
    """As much detail at every scale as photographs have, some noise, and things with sharp edges in front."""
    rng = np.random.default_rng(seed)
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequencies[0, 0] = 1
    planes = []
    for _ in range(3):
        waves = (rng.normal(size=frequencies.shape) + 1j * rng.normal(size=frequencies.shape)) / frequencies**1.1
        plane = np.fft.irfft2(waves, (height, width))
        planes.append((plane - plane.mean()) / plane.std())
    light = 128 + 48 * (0.75 * planes[0][..., None] + 0.35 * np.stack(planes, axis=-1))
    image = Image.fromarray(np.clip(light + rng.normal(0, 3, light.shape), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for x, y, size in rng.random((12, 3)) * (width, height, min(width, height) / 6):
        draw.ellipse((x - size, y - size, x + size, y + size), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def _line_art(seed: int, width: int, height: int) -> Image.Image:
    """Thin dark lines on white, which is what reductions differ most on."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for line in rng.random((150, 4)) * (width, height, width, height):
        thickness = int(rng.integers(1, max(2, width // 300) + 1))
        draw.line(line.tolist(), tuple(rng.integers(0, 160, 3).tolist()), thickness)
    for y in range(0, height // 4, max(2, height // 200)):
        draw.line((0, y, width // 2, y), "black")
    return image


def _encoded(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()
