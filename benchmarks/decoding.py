"""What decoding in processes of its own costs and gains on several cores, and what `DECODING=fast` does."""

import asyncio
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
from app.images.decoders import Decoders
from app.resources import cores
from numpy.typing import NDArray
from PIL import Image, ImageDraw

PREPROCESSING = Preprocessing(224, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic", "shortest", 0)
SIZE = (1536, 1200)
AT_ONCE = 8
ROUNDS = 15

# For comparing fast decoding with exact: sides from what is hardly reduced to a camera's, some of them odd.
SIZES = ((800, 600), SIZE, (1003, 1501), (2400, 2400), (4000, 3000))
QUALITIES = (70, 85, 95)
NO_LIMIT = 10**9


def table(*models: EmbeddingModel) -> str:
    """What decoding takes, and how near fast decoding comes in models given and in the bundled one."""
    bundled = EmbeddingModel(DEMONSTRATION, "bundled", settings=Settings.load(precision="float32"))
    return f"{_times()}\n{_fast([*models, bundled])}"


def _times() -> str:
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
        look(data, NO_LIMIT, PREPROCESSING)
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


def _fast(models: Sequence[EmbeddingModel]) -> str:
    """What `DECODING=fast` saves on a JPEG, and the cosines of its vectors to those of exact decoding."""
    frugal = FrugalPreprocessing(**vars(PREPROCESSING))
    kinds = {"photograph": _photograph, "line art": _line_art}
    pictures = {kind: [make(seed, *size) for seed, size in enumerate(SIZES)] for kind, make in kinds.items()}
    files = {
        kind: [_encoded(picture, quality) for picture in made for quality in QUALITIES]
        for kind, made in pictures.items()
    }
    lines = [
        "## Fast decoding\n",
        f"`DECODING=fast` beside `exact`, for ViT-B-32 in this process, median of {ROUNDS} rounds taken in turn.\n",
        "| a JPEG of | exact | fast | of exact |",
        "| --- | --- | --- | --- |",
    ]
    for (width, height), data in [(SIZE, _jpeg()), (SIZES[-1], files["photograph"][-1])]:
        exact, fast = _in_turn(data, PREPROCESSING, frugal)
        lines.append(f"| {width} x {height} | {exact * 1000:.1f} ms | {fast * 1000:.1f} ms | {fast / exact:.2f} |")
    lines += [
        f"\nCosine of fast to exact in float32, over JPEGs of {min(map(min, SIZES))} to {max(map(max, SIZES))} pixels "
        f"a side in qualities of {', '.join(map(str, QUALITIES))}, and over the reference pictures:\n",
        "| model | pictures | decoded to less | lowest | median |",
        "| --- | --- | --- | --- | --- |",
    ]
    files["reference"] = [_encoded(picture, QUALITIES[-1]) for picture in reference.pictures()]
    for model in models:
        for kind, of_kind in files.items():
            reduced, cosines = _cosines(model, of_kind)
            lines.append(
                f"| {model.manifest.architecture} | {kind} | {reduced} of {len(of_kind)} | {cosines.min():.6f} "
                f"| {np.median(cosines):.6f} |"
            )
    return "\n".join([*lines, ""])


def _in_turn(data: bytes, *ways: Preprocessing) -> list[float]:
    rounds = []
    for _ in range(ROUNDS):
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


def _jpeg() -> bytes:
    """Soft shapes with some noise, as a photograph has them."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    noisy = np.asarray(coarse, np.float32) + rng.normal(0, 6, (SIZE[1], SIZE[0], 3))
    return _encoded(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), 88)


def _encoded(image: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()
