"""`EmbeddingModel`: texts and pictures in, unit vectors out."""

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from app.config import BUNDLED, Precision, Settings, architecture
from app.embeddings import reference
from app.embeddings.engines import Engine, Pixels, Vectors
from app.embeddings.engines.choice import Choice, choose, choose_precision
from app.embeddings.fast_tokenizer import FAST_TOKENIZER_FILE, FastTokenizer
from app.embeddings.prepared import Manifest, Prepared, find
from app.embeddings.preprocess import Preprocessing
from app.embeddings.tokenizer import ClipTokenizer, Tokenizer, Tokens
from app.errors import ModelUnavailable
from app.resources import cores

logger = logging.getLogger(__name__)

# The exit status by which the exporting process says that its last line is for a person.
REFUSED = 3

# A start compares itself with recorded vectors. What this finds is a broken model; how exact a precision is was
# measured when the model was prepared.
SELF_TEST_FLOOR: dict[Precision, float] = {"float32": 0.9999, "bfloat16": 0.99, "float16": 0.99}


def prepare(settings: Settings, *, thoroughly: bool = True) -> Prepared:
    """The exported model that the settings name, exported now if it isn't there yet; its space heeds `DECODING`.

    Args:
        settings: which model, and where it lies.
        thoroughly: whether to read every byte of it; a process that only starts others leaves that to them.

    Raises:
        ModelUnavailable: it isn't there and can't be made here; the message says what to do.
    """
    name, pretrained, cache = architecture(settings.model_name), settings.pretrained, settings.model_cache_dir
    prepared = find(cache, name, pretrained, thoroughly=thoroughly)
    if prepared is None and settings.demonstration:
        raise ModelUnavailable(f"the bundled model in {BUNDLED} is damaged; install this package anew")
    if prepared is None:
        if importlib.util.find_spec("open_clip") is None:
            raise ModelUnavailable(
                f"the model {name} / {pretrained} is not prepared in MODEL_CACHE_DIR={cache}, and preparing it needs "
                "torch, which is not installed here: run 'tate-embeddings prepare' where it is (the image's 'full' "
                "target, or 'poetry install'), or build the image with MODEL_NAME and PRETRAINED set to this model"
            )
        logger.info("preparing %s / %s, which is done once", name, pretrained)
        _export_in_another_process(name, pretrained, cache)
        prepared = find(cache, name, pretrained)
    if prepared is None:
        raise ModelUnavailable(f"the model was exported to MODEL_CACHE_DIR={cache} but can't be read back from there")
    return prepared.decoding_fast() if settings.decoding == "fast" else prepared


class EmbeddingModel:
    """A model, loaded. Methods block while they compute and may be called from several threads."""

    manifest: Manifest
    engine: Engine

    def __init__(
        self,
        model_name: str,
        pretrained: str,
        *,
        settings: Settings | None = None,
        device_index: int = 0,
        threads: int | None = None,
    ) -> None:
        """Load a model, preparing it first if need be.

        Args:
            model_name: an OpenCLIP architecture, such as `ViT-B-32`, or one of `config.ALIASES`.
            pretrained: a tag of it, such as `laion2b_s34b_b79k`, or the path of a checkpoint file.
            settings: where engine, device, precision and cache folder are chosen; the environment's by default.
            device_index: which GPU to take, among those that are visible.
            threads: how many threads to compute with; by default as many as this process may use cores.

        Raises:
            ModelUnavailable: it can't be had; the message says what to do.
        """
        settings = settings or Settings.load()
        settings = settings.model_copy(update={"model_name": model_name, "pretrained": pretrained})
        choice = choose(settings)
        prepared = prepare(settings)
        precision = choose_precision(settings, choice, prepared.manifest.fidelity)
        self._adopt(prepared, _start(prepared, settings, choice, precision, device_index, threads or cores()))
        self.self_test()
        engine = self.engine
        logger.info(
            "loaded %s: %s in %s on %s, space %s", model_name, engine.name, engine.precision, engine.device, self.space
        )

    @classmethod
    def assemble(cls, prepared: Prepared, engine: Engine) -> Self:
        """Put a model together from its parts."""
        model = cls.__new__(cls)
        model._adopt(prepared, engine)
        return model

    def _adopt(self, prepared: Prepared, engine: Engine) -> None:
        self.manifest = prepared.manifest
        self.engine = engine
        self._folder = prepared.folder
        self._tokenizer = _tokenizer(prepared.folder)
        self._expected = prepared.reference()

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return self.manifest.dimensions

    @property
    def space(self) -> str:
        """The digest of the embedding space: only vectors of equal spaces may be compared."""
        return self.manifest.space

    @property
    def preprocessing(self) -> Preprocessing:
        """Turns an RGB picture into the pixels that `embed_pixels` takes."""
        return self.manifest.preprocessing

    def tokenize(self, text: str) -> Tokens:
        """A text as the ids that `embed_tokens` takes."""
        return self._tokenizer.encode(text)

    def accept_ids(self, ids: Sequence[int]) -> Tokens:
        """What `tokenize` would have given for a text that a caller has tokenised with this model's tokenizer.

        Args:
            ids: with or without the ids around a text, with or without padding after it.

        Raises:
            InvalidRequest: they aren't this tokenizer's, or none of them stands for a text.
        """
        return self._tokenizer.accept(ids)

    def length(self, row: Sequence[int]) -> int:
        """How many tokens of a tokenised text are computed; in a batch, as many of each as of the longest."""
        return len(self._cut(row))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of texts, a row each, in their order."""
        return self.embed_tokens([self.tokenize(text).ids for text in texts])

    def embed_images(self, images: Sequence[Image.Image | Pixels]) -> Vectors:
        """Unit vectors of pictures, a row each: Pillow images of any size, or pixels as `preprocessing` gives them."""
        return self.embed_pixels(
            [self.preprocessing(image) if isinstance(image, Image.Image) else image for image in images]
        )

    def embed_tokens(self, rows: Sequence[Sequence[int]]) -> Vectors:
        """Unit vectors of tokenised texts."""
        vectors = np.empty((len(rows), self.dimensions), np.float32)
        cut = [self._cut(row) for row in rows]
        for batch in self._batches([*map(len, cut)]):
            ids = np.full((len(batch), len(cut[batch[-1]])), self._tokenizer.padding, np.int64)
            for place, index in enumerate(batch):
                ids[place, : len(cut[index])] = cut[index]
            vectors[batch] = _normalised(self.engine.embed_ids(ids))
        return vectors

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Indices of texts of like length, the longest of each batch last."""
        batches: list[list[int]] = []
        for index in sorted(range(len(lengths)), key=lengths.__getitem__):
            if batches and (len(batches[-1]) + 1) * lengths[index] <= self.engine.tokens:
                batches[-1].append(index)
            else:
                batches.append([index])
        return batches

    def embed_pixels(self, pictures: Sequence[Pixels]) -> Vectors:
        """Unit vectors of pictures that `preprocessing` has brought to the model's size."""
        vectors = np.empty((len(pictures), self.dimensions), np.float32)
        size = self.engine.pictures
        for start in range(0, len(pictures), size):
            batch = np.stack(pictures[start : start + size])
            vectors[start : start + size] = _normalised(self.engine.embed_pixels(batch))
        return vectors

    def fidelity(self) -> float:
        """The lowest cosine between this model and `open_clip` over the reference texts and pictures."""
        texts = reference.cosines(self.embed_texts(reference.TEXTS), self._expected["texts"])
        pictures = reference.cosines(self.embed_images(reference.pictures()), self._expected["pictures"])
        return float(min(texts.min(), pictures.min()))

    def self_test(self) -> None:
        """Compute two recorded vectors again.

        Raises:
            ModelUnavailable: they differ; the engine or the prepared model is broken.
        """
        text = reference.cosines(self.embed_texts(reference.TEXTS[1:2]), self._expected["texts"][1:2])
        picture = reference.cosines(self.embed_images(reference.pictures(1)), self._expected["pictures"][:1])
        lowest = float(min(text.min(), picture.min()))
        if not lowest >= SELF_TEST_FLOOR[self.engine.precision]:  # written so that NaN fails too
            raise ModelUnavailable(
                f"the self-test failed: {self.engine.name} in {self.engine.precision} gives vectors unlike recorded "
                f"ones (cosine {lowest:.4f}); try PRECISION=float32, or delete {self._folder.name} in MODEL_CACHE_DIR"
            )

    def _cut(self, row: Sequence[int]) -> Sequence[int]:
        """As much of a row as the model has to see, padding that it must see included."""
        manifest = self.manifest
        if manifest.cut_after is not None:
            return row[: row.index(manifest.cut_after) + 1]
        if manifest.masks_padding:
            return row
        return [*row, *[self._tokenizer.padding] * (manifest.context_length - len(row))]


def _tokenizer(folder: Path) -> Tokenizer:
    kind = FastTokenizer if (folder / FAST_TOKENIZER_FILE).exists() else ClipTokenizer
    return kind.load(folder)


def _start(
    prepared: Prepared, settings: Settings, choice: Choice, precision: Precision, device_index: int, threads: int
) -> Engine:
    if choice.engine == "openvino":
        from app.embeddings.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(prepared.folder, precision, threads)
    from app.embeddings.engines.torch import TorchEngine

    # Not the names in the manifest: those are of whoever exported these weights first.
    weights = architecture(settings.model_name), settings.pretrained
    return TorchEngine(weights, prepared.manifest, precision, choice.device, device_index, threads)


def _export_in_another_process(name: str, pretrained: str, cache: Path) -> None:
    """Torch takes gigabytes of memory and seconds to import; a process that serves is to have neither."""
    command = [sys.executable, "-m", "app.embeddings.export", name, pretrained, str(cache)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == REFUSED:
        raise ModelUnavailable(done.stdout.strip().splitlines()[-1])
    if done.returncode:
        raise ModelUnavailable(f"preparing {name} / {pretrained} failed with exit status {done.returncode}")


def _normalised(vectors: Vectors) -> Vectors:
    with np.errstate(all="ignore"):  # zeros become NaN, which the self-test refuses
        result: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result
