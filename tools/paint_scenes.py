"""Paints scenes as a model sees them, on all cores, in chunks that a later run finds again."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from app.demo.painter import paint
from app.demo.scene import imagine
from app.embeddings.engines import Pixels
from app.embeddings.preprocess import Preprocessing
from app.resources import on_all_cores

CHUNK = 50


def chunks(folder: Path, count: int, size: int, preprocessing: Preprocessing) -> Iterator[Path]:
    """Paint the scenes of the first `count` seeds; files of (CHUNK, height, width, 3) bytes, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, CHUNK)
    work = partial(_chunk, folder, size, preprocessing)
    with on_all_cores() as pool:
        yield from pool.map(work, starts)


def seen(seeds: Sequence[int], size: int, preprocessing: Preprocessing) -> Pixels:
    """The pixels that a model gets of some scenes."""
    with on_all_cores() as pool:
        return np.stack(list(pool.map(partial(_seen, size, preprocessing), seeds, chunksize=8)))


def _chunk(folder: Path, size: int, preprocessing: Preprocessing, start: int) -> Path:
    file = folder / f"{start}-{size}.npy"
    if not file.exists():
        unfinished = file.with_suffix(f".{os.getpid()}")
        with unfinished.open("wb") as stream:
            np.save(stream, np.stack([_seen(size, preprocessing, seed) for seed in range(start, start + CHUNK)]))
        unfinished.replace(file)
    return file


def _seen(size: int, preprocessing: Preprocessing, seed: int) -> Pixels:
    return preprocessing(paint(imagine(seed), size))
