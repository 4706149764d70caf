"""The demonstration gallery on disk: painted, described, embedded, and searched by a vector.

FOLDER/
  images/demo-0001.jpg …
  metadata.jsonl          a line for each artwork, in the order of the vectors
  embeddings.npy
  gallery.json            what it was made from; a gallery of other makings is made anew
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock

from app.config import Settings
from app.demo.artworks import collection
from app.demo.painter import paint
from app.demo.scene import imagine
from app.embeddings import EmbeddingModel
from app.embeddings.engines import Vectors
from app.embeddings.model import prepare
from app.errors import GalleryUnavailable
from app.images.decode import look
from app.resources import cores

# Seeds that the bundled model was neither trained on nor judged by.
FIRST_SEED = 2_000_010_000
ARTWORKS = 320
SIZE = 640
QUALITY = 90
# Raised when the same seeds give other pictures or words than before.
EDITION = 2

IMAGES = "images"
METADATA = "metadata.jsonl"
VECTORS = "embeddings.npy"
MADE_FROM = "gallery.json"


@dataclass(frozen=True)
class Found:
    """An artwork's label, and how close the artwork is to what was asked for: the cosine."""

    score: float
    label: dict[str, Any]


@dataclass(frozen=True)
class Gallery:
    """A gallery that is complete."""

    folder: Path
    space: str
    labels: Sequence[dict[str, Any]]
    vectors: Vectors

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a gallery.

        Raises:
            GalleryUnavailable: there is none.
        """
        try:
            space = json.loads((folder / MADE_FROM).read_text("utf-8"))["space"]
            labels = [json.loads(line) for line in (folder / METADATA).read_text("utf-8").splitlines()]
            return cls(folder, space, labels, np.load(folder / VECTORS))
        except (OSError, ValueError, KeyError) as error:
            raise GalleryUnavailable(f"there is no gallery in {folder}; 'make demo' paints one") from error

    def nearest(self, vector: Vectors, space: str, count: int) -> list[Found]:
        """The artworks closest to a unit vector, the closest first.

        Raises:
            GalleryUnavailable: the vector is of another embedding space.
        """
        if space != self.space:
            raise GalleryUnavailable(f"the vector is of space {space}, the gallery of {self.space}: not to be compared")
        scores = self.vectors @ vector
        return [Found(float(scores[row]), self.labels[row]) for row in np.argsort(-scores)[:count]]


def hang(
    settings: Settings, folder: Path, count: int, painted: Callable[[int, int], None] = lambda *_: None
) -> Gallery:
    """The gallery of `count` artworks, painted and embedded now unless it is there.

    It appears by one rename, complete or not at all; what was there before stays until then.

    Args:
        settings: which model.
        folder: where the gallery lies.
        count: how many artworks.
        painted: is told how many of how many are painted, as they are.

    Raises:
        GalleryUnavailable: it can't be written.
    """
    made_from: dict[str, Any] = {
        "edition": EDITION,
        "first_seed": FIRST_SEED,
        "artworks": count,
        "space": prepare(settings, thoroughly=False).manifest.space,
    }
    try:
        if not _hangs(folder, made_from):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):  # another demonstration may be painting the same
                if not _hangs(folder, made_from):
                    _replace(folder, settings, made_from, painted)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise GalleryUnavailable(f"the gallery can't be written to {folder} ({reason})") from error
    return Gallery.open(folder)


def _replace(folder: Path, settings: Settings, made_from: dict[str, Any], painted: Callable[[int, int], None]) -> None:
    for leftover in folder.parent.glob(f"{folder.name}.unfinished-*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.unfinished-", dir=folder.parent) as unfinished:
        new = Path(unfinished) / "new"
        _fill(new, settings, made_from["artworks"], painted)
        (new / MADE_FROM).write_text(json.dumps(made_from), "utf-8")
        if folder.exists():
            folder.rename(Path(unfinished) / "old")
        new.rename(folder)


def _hangs(folder: Path, made_from: dict[str, Any]) -> bool:
    try:
        complete = all((folder / part).exists() for part in (IMAGES, METADATA, VECTORS))
        return complete and json.loads((folder / MADE_FROM).read_text("utf-8")) == made_from
    except (OSError, ValueError):
        return False


def _fill(folder: Path, settings: Settings, count: int, painted: Callable[[int, int], None]) -> None:
    (folder / IMAGES).mkdir(parents=True)
    works = collection(FIRST_SEED, count)
    files = [folder / IMAGES / f"{work.id}.jpg" for _, work in works]
    pixels, lines = [], []
    with ProcessPoolExecutor(cores()) as painters:
        # Painters are forked by this line, and so before the model has threads.
        paintings = painters.map(_paint, [scene.seed for scene, _ in works], files)
        model = EmbeddingModel(settings.model_name, settings.pretrained, settings=settings)
        for (_, work), file, _ in zip(works, files, paintings, strict=True):
            picture, seen = look(file.read_bytes(), settings.max_image_pixels, model.preprocessing)
            pixels.append(seen)
            label = asdict(work) | {"path": f"{IMAGES}/{file.name}", "width": picture.width, "height": picture.height}
            lines.append(json.dumps(label) + "\n")
            painted(len(lines), count)
    np.save(folder / VECTORS, model.embed_pixels(pixels))
    (folder / METADATA).write_text("".join(lines), "utf-8")


def _paint(seed: int, file: Path) -> None:
    paint(imagine(seed), SIZE).save(file, quality=QUALITY)
