"""What the workers of a cluster do with batches of images, in two stages that scale apart: decode, and compute.

What is wrong with an image travels in its row, so that nothing but a worker without a model ends the whole.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from anyio.to_thread import run_sync
from numpy.typing import NDArray

from app.catalogue.embedding import CHANGED_ON_DISK, Unusable
from app.config import Device, Settings
from app.embeddings import EmbeddingModel
from app.embeddings.preprocess import Preprocessing
from app.errors import ImageNotFound, Internal, ModelUnavailable, ServiceError, TooLarge
from app.images.decoders import Decoders, Seen
from app.resources import cores
from app.telemetry import tracebacks

# Beyond so many cores one copy of the model gains little: better to have another one.
CORES_OF_A_MODEL = 4
# Decoders that one worker keeps busy; while a file is on its way they have another image.
DECODERS = 2
# Images that such a worker has in memory: those in its decoders, and the next ones.
WINDOW = 2 * DECODERS

# A batch: what each column has for every image. `code` is empty where nothing is wrong; `defect` is for the log.
Columns = Mapping[str, NDArray[Any]]
# What became of an image in the first stage.
Look = Seen | Unusable | Exception


def for_workers(settings: Settings, device: Device, *, own_cache: bool) -> Mapping[str, Any]:
    """What workers are to know of the settings, which is no secret.

    Args:
        settings: as they are here.
        device: what the model is to compute on.
        own_cache: whether workers look for the model where their own `MODEL_CACHE_DIR` says, and not where ours does.
    """
    secrets = {name: field.default for name, field in Settings.model_fields.items() if not field.repr}
    told = settings.model_copy(update={**secrets, "device": device})
    return told.model_dump(exclude={"model_cache_dir"} if own_cache else None)


class Decoding:
    """Images to the pixels that a model wants, in processes that an image may crash or hang.

    They end with the process that has started them; whoever goes on without them closes it.
    """

    def __init__(self, settings: Mapping[str, Any], preprocess: Preprocessing) -> None:
        known = Settings.load(**settings)
        self._max_bytes = known.max_image_bytes
        self._preprocess = preprocess
        self._runner = asyncio.Runner()
        self._decoders = Decoders(known, DECODERS)
        self._decoders.start()

    def __call__(self, batch: Columns) -> Columns:
        """From columns `sha256` and `path`."""
        looks = self._runner.run(self._look_at_all(batch["sha256"], batch["path"]))
        rows = [self._row(digest, look) for digest, look in zip(batch["sha256"], looks, strict=True)]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def close(self) -> None:
        """End the decoders."""
        with self._runner:
            self._runner.run(self._decoders.close())

    async def _look_at_all(self, digests: Iterable[str], paths: Iterable[str]) -> Sequence[Look]:
        window = asyncio.Semaphore(WINDOW)

        async def look(digest: str, path: str) -> Look:
            async with window:
                try:
                    return await self._look(digest, path)
                except Exception as error:
                    return error

        return await asyncio.gather(*map(look, digests, paths))

    async def _look(self, digest: str, path: str) -> Seen | Unusable:
        data = await run_sync(_read, path, self._max_bytes)
        if sha256(data).hexdigest() != digest:
            return CHANGED_ON_DISK
        return await self._decoders.look(data, self._preprocess)

    def _row(self, digest: str, look: Look) -> Mapping[str, Any]:
        row = {"sha256": digest, "code": "", "detail": "", "defect": "", "width": 0, "height": 0}
        if isinstance(look, Seen):
            return {**row, "width": look.width, "height": look.height, "pixels": look.pixels}
        nothing = np.zeros((self._preprocess.height, self._preprocess.width, 3), np.uint8)
        if isinstance(look, Exception) and not isinstance(look, ServiceError):
            row["defect"] = tracebacks.described(look)
            look = Internal()
        return {**row, "code": look.code, "detail": look.detail, "pixels": nothing}


class Computing:
    """Pixels to vectors, by a model that is loaded when the first ones come, and then stays."""

    def __init__(self, settings: Mapping[str, Any], space: str) -> None:
        self._settings = Settings.load(**settings)
        self._space = space

    def __call__(self, batch: Columns) -> Columns:
        """From the columns that `Decoding` gives.

        Raises:
            ModelUnavailable: it can't be had here, or is another one.
        """
        model = self._model
        columns = dict(batch)
        pixels = columns.pop("pixels")
        usable = columns["code"] == ""
        vectors = np.zeros((len(pixels), model.dimensions), np.float32)
        try:
            vectors[usable] = model.embed_pixels([*pixels[usable]])
        except Exception as error:
            internal = Internal()
            told = {"code": internal.code, "detail": internal.detail, "defect": tracebacks.described(error)}
            columns |= {name: np.where(usable, text, columns[name]) for name, text in told.items()}
        return {**columns, "vector": vectors}

    @cached_property
    def _model(self) -> EmbeddingModel:
        settings = self._settings
        threads = min(CORES_OF_A_MODEL, cores())
        model = EmbeddingModel(settings.model_name, settings.pretrained, settings=settings, threads=threads)
        if model.space != self._space:
            raise ModelUnavailable(f"a worker's model is of space {model.space}, and the catalogue's of {self._space}")
        return model


def _read(path: str, max_bytes: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ImageNotFound(f"The file can't be read: {error.strerror}.") from None
    if len(data) > max_bytes:
        raise TooLarge(f"The image has more than {max_bytes} bytes.")
    return data
