"""A model as it lies on disk, exported once and loaded often.

    MODEL_CACHE_DIR/
      <space>/               one folder per embedding space
        manifest.json        what is in it, with a checksum of every other file
        text.xml, text.bin, image.xml, image.bin, tokenizer.json, reference.npz
                             and fast_tokenizer.json where the tokenizer isn't CLIP's
      names/<digest>.json    which space a model's name and weights lead to
      lock                   held by the one process that exports

A folder appears by one rename, complete or not at all. Reading takes no lock and works from a read-only disk.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from app.config import BUNDLED
from app.embeddings.preprocess import FrugalPreprocessing, Preprocessing

FORMAT = 1
MANIFEST_FILE = "manifest.json"
REFERENCE_FILE = "reference.npz"
UNFINISHED = "unfinished-"
LOCAL_SCHEMA = "local-dir:"
# Raised when what `DECODING=fast` makes of a picture changes: vectors change with it.
FAST_DECODING = "fast decoding 1"


@dataclass(frozen=True)
class Manifest:
    """What an exported model is, and what was measured when it was made."""

    format: int
    space: str
    architecture: str
    pretrained: str
    dimensions: int
    context_length: int
    # The id at which a text's vector is read off, if whatever follows it can be cut away; None keeps the padding.
    cut_after: int | None
    preprocessing: Preprocessing
    # Lowest cosine to open_clip in float32 over the reference set, by precision; none where it couldn't be measured.
    fidelity: dict[str, float]
    made_with: dict[str, str]
    files: dict[str, str]
    # Whether padding is masked, so that texts are filled up to the longest of their batch only.
    masks_padding: bool = False

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder's manifest.

        Raises:
            ValueError, TypeError, KeyError, OSError: it isn't there, is broken, or was written by another version.
        """
        fields = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
        if fields["format"] != FORMAT:
            raise ValueError("written by another version")
        if fields.pop("checksum") != _checksum_of(fields):
            raise ValueError("damaged")
        picture = fields.pop("preprocessing")
        preprocessing = Preprocessing(**picture | {"mean": tuple(picture["mean"]), "std": tuple(picture["std"])})
        return cls(preprocessing=preprocessing, **fields)

    def write(self, folder: Path) -> None:
        """Write the manifest into a folder whose other files are complete."""
        fields = asdict(self)
        (folder / MANIFEST_FILE).write_text(json.dumps(fields | {"checksum": _checksum_of(fields)}, indent=2), "utf-8")


@dataclass(frozen=True)
class Prepared:
    """An exported model that has been verified."""

    folder: Path
    manifest: Manifest

    def reference(self) -> dict[str, NDArray[Any]]:
        """The vectors that `open_clip` gave for the reference set when the model was exported."""
        with np.load(self.folder / REFERENCE_FILE) as arrays:
            return dict(arrays)

    def decoding_fast(self) -> Self:
        """The same model for pictures of which no more is decoded than it takes, and so of another space."""
        digest = hashlib.sha256(f"{self.manifest.space}\n{FAST_DECODING}".encode()).hexdigest()
        space = digest[: len(self.manifest.space)]
        preprocessing = FrugalPreprocessing(**vars(self.manifest.preprocessing))
        return replace(self, manifest=replace(self.manifest, space=space, preprocessing=preprocessing))


def find(cache: Path, architecture: str, pretrained: str, *, thoroughly: bool = True) -> Prepared | None:
    """The exported model for a name, if it is there and, read thoroughly, every byte of it is as it was written."""
    if architecture == f"{LOCAL_SCHEMA}{BUNDLED}":
        return shipped(thoroughly=thoroughly)
    try:
        pointer = json.loads(_pointer(cache, architecture, pretrained).read_text("utf-8"))
        source = fingerprint(architecture, pretrained)
        if source and source != pointer["source"]:
            return None
        return verified(cache / pointer["space"], thoroughly=thoroughly)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def shipped(*, thoroughly: bool = True) -> Prepared | None:
    """The bundled model, which was exported before it was packaged."""
    folders = [manifest.parent for manifest in BUNDLED.glob(f"*/{MANIFEST_FILE}")]
    return verified(folders[0], thoroughly=thoroughly) if folders else None


def verified(folder: Path, *, thoroughly: bool = True) -> Prepared | None:
    """A folder's model, unless something in it is missing or, read thoroughly, damaged."""
    try:
        manifest = Manifest.read(folder)
        files = [folder / name for name in manifest.files]
        intact = all(file.is_file() for file in files)
        if thoroughly:
            with ThreadPoolExecutor() as pool:  # the two large files at once
                intact = list(pool.map(checksum, files)) == [*manifest.files.values()]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Prepared(folder, manifest) if intact and manifest.space == folder.name else None


def remember(cache: Path, architecture: str, pretrained: str, space: str, source: list[list[int]]) -> None:
    """Note which space a model's name leads to, and what its weights looked like."""
    pointer = _pointer(cache, architecture, pretrained)
    pointer.parent.mkdir(exist_ok=True)
    unfinished = pointer.with_suffix(".new")
    unfinished.write_text(json.dumps({"space": space, "source": source}), "utf-8")
    unfinished.replace(pointer)


@contextmanager
def exporting(cache: Path) -> Iterator[None]:
    """Hold the right to export. The kernel takes it back from a process that dies."""
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):
        for leftover in cache.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


@contextmanager
def published(cache: Path, space: str) -> Iterator[Path]:
    """A folder to fill, which takes the place of the space's folder if it is filled without an error."""
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=cache))
    try:
        unfinished.chmod(0o755)  # mkdtemp's folders are for their owner alone; the service may run as another user
        yield unfinished
        if (cache / space).exists():
            (cache / space).rename(cache / f"{UNFINISHED}replaced-{os.getpid()}")
        unfinished.rename(cache / space)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(cache / f"{UNFINISHED}replaced-{os.getpid()}", ignore_errors=True)


def checksum(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum_of(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def fingerprint(architecture: str, pretrained: str) -> list[list[int]]:
    """What changes when local weights are replaced: sizes and times of change, cheap to ask for at every start.

    Nothing for weights that come from a hub, or whose files are gone since: the prepared model does without them.
    """
    folder = Path(architecture.removeprefix(LOCAL_SCHEMA)) if architecture.startswith(LOCAL_SCHEMA) else None
    files = sorted(folder.glob("*")) if folder else [Path(pretrained)]
    return [[file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]


def _pointer(cache: Path, architecture: str, pretrained: str) -> Path:
    digest = hashlib.sha256(f"{architecture}\n{pretrained}".encode()).hexdigest()
    return cache / "names" / f"{digest[:32]}.json"
