"""The demonstration gallery on disk: painted, described, embedded, and put into an index.

FOLDER/
  images/demo-0001.jpg …
  faiss.index, items-…    the index: an item for each artwork, whose metadata is the label beside it
  gallery.json            what it was made from; a gallery of other makings is made anew
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from app.config import Settings
from app.demo.artworks import Artwork, collection
from app.demo.painter import paint
from app.demo.scene import imagine
from app.embeddings import EmbeddingModel
from app.embeddings.model import prepare
from app.errors import GalleryUnavailable, IndexUnavailable
from app.images.decode import look
from app.resources import on_all_cores
from app.search.opening import in_folder, opened
from app.search.store import Item

# Seeds that the bundled model was neither trained on nor judged by.
FIRST_SEED = 2_000_010_000
ARTWORKS = 320
SIZE = 640
QUALITY = 90
# Raised when the same seeds give other pictures or words than before, or what is made of them is another.
EDITION = 3

IMAGES = "images"
MADE_FROM = "gallery.json"


def hang(settings: Settings, folder: Path, count: int, painted: Callable[[int, int], None] = lambda *_: None) -> None:
    """See to it that a gallery of `count` artworks hangs: painted, embedded and indexed now unless it is there.

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
    except IndexUnavailable as error:
        raise GalleryUnavailable(f"the gallery can't be written to {folder}: {error.detail}") from error


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
    """Whether this gallery is there. What others have put into its index since, or taken out, doesn't matter."""
    try:
        made = json.loads((folder / MADE_FROM).read_text("utf-8"))
        with closing(opened(in_folder(folder))) as store:
            return made == made_from and (folder / IMAGES).exists() and store.about().space == made_from["space"]
    except (OSError, ValueError, IndexUnavailable):
        return False


def _fill(folder: Path, settings: Settings, count: int, painted: Callable[[int, int], None]) -> None:
    (folder / IMAGES).mkdir(parents=True)
    works = collection(FIRST_SEED, count)
    files = [folder / IMAGES / f"{work.id}.jpg" for _, work in works]
    pixels, labels = [], []
    with on_all_cores() as painters:
        # Painters are forked by this line, and so before the model has threads.
        paintings = painters.map(_paint, [scene.seed for scene, _ in works], files)
        model = EmbeddingModel(settings.model_name, settings.pretrained, settings=settings)
        for (_, work), file, _ in zip(works, files, paintings, strict=True):
            picture, seen = look(file.read_bytes(), settings.max_image_pixels, model.preprocessing)
            pixels.append(seen)
            image = {"path": f"{IMAGES}/{file.name}", "width": picture.width, "height": picture.height}
            labels.append(_label(work) | {"image": image})
            painted(len(labels), count)
    vectors = model.embed_pixels(pixels)
    items = [Item(work.id, *rest) for (_, work), *rest in zip(works, vectors, labels, strict=True)]
    with closing(opened(in_folder(folder))) as store:
        store.upsert(items, model.space)
        store.settle()


def _label(work: Artwork) -> dict[str, Any]:
    """What there is to say of a work beside its id."""
    return {name: value for name, value in asdict(work).items() if name != "id" and value is not None}


def _paint(seed: int, file: Path) -> None:
    paint(imagine(seed), SIZE).save(file, quality=QUALITY)
