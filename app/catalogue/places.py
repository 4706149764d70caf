"""Where a catalogue lies, and who may change it.

    DIR/
      manifest.jsonl            a line for each URL: what is known of the image behind it
      images/ab/ab….jpg         images by the digest of their bytes
      embeddings.npy            a row for each picture
      metadata.jsonl            what each row is, in the order of the rows
      failures.jsonl            pictures that have no row, and why
      embedding_manifest.jsonl  a line for each change of the rows: by which model, in which space
      faiss.index, items-…      what is searched, unless INDEX_URL says otherwise
      catalogue-….prom          what the last run of a command came to, or is at, for Prometheus

The first two may lie apart from the others: who embeds needs only to read them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from app.errors import CatalogueUnusable


@dataclass(frozen=True)
class Places:
    """The three places of a catalogue."""

    images: Path
    output: Path
    manifest: Path

    @classmethod
    def of(cls, folder: Path, images: Path | None, output: Path | None, manifest: Path | None) -> "Places":
        """Those of a folder, or where somebody says otherwise."""
        folder = folder.resolve()
        return cls(
            images.resolve() if images else folder / "images",
            output.resolve() if output else folder,
            manifest.resolve() if manifest else folder / "manifest.jsonl",
        )

    def path_of(self, image: str) -> str:
        """An image of the manifest, as it is found from where `metadata.jsonl` lies."""
        return f"{self._images_from_output}/{image}"

    @cached_property
    def _images_from_output(self) -> str:
        return os.path.relpath(self.images, self.output)


@contextmanager
def written_by_us(folder: Path, name: str) -> Iterator[None]:
    """Nobody else writes this part of a catalogue meanwhile. Whoever is killed lets go of it.

    Raises:
        CatalogueUnusable: somebody else does, or the folder can't be written; so too if it is full, later.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock").acquire(blocking=False)
    except Timeout:
        raise CatalogueUnusable(f"another command is changing {name} in {folder}; wait for it to end") from None
    except OSError as error:
        raise CatalogueUnusable(f"{folder} can't be written ({error.strerror or error})") from error
    with lock:
        try:
            yield
        except OSError as error:
            named = f"{error.filename or folder} can't be written ({error.strerror or error})"
            raise CatalogueUnusable(f"{named}; nothing that was done before is lost") from error
