"""Images to rows of vectors: only what is new or changed, by the digest of its bytes and by the space."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from app import __version__
from app.catalogue.files import uncollected
from app.catalogue.journal import Journal, Picture
from app.catalogue.lists import Row
from app.catalogue.manifest import Entry
from app.catalogue.places import Places
from app.catalogue.rows import Failed, Published, Rows, finish, publish
from app.config import Settings
from app.embeddings.engines import Vectors
from app.embeddings.prepared import Manifest as ModelManifest
from app.errors import ImageCorrupt, ImageTooManyPixels, NotAnImage, TooLarge, UnsupportedFormat

# What is wrong with an image itself, and stays so.
DEAD = {kind.code for kind in (NotAnImage, UnsupportedFormat, ImageCorrupt, ImageTooManyPixels, TooLarge)}


class Unusable(NamedTuple):
    """Why an image has no vector: `code` for programs, `detail` for people."""

    code: str
    detail: str


CHANGED_ON_DISK = Unusable("image_changed_on_disk", "The image isn't the one that was downloaded.")


class Model(Protocol):
    """What computes vectors, of one space."""

    @property
    def space(self) -> str:
        """The digest of the embedding space."""

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""

    def describe(self) -> Mapping[str, Any]:
        """What there is to say of it in the history of a catalogue."""

    def computing(self) -> "AbstractContextManager[Compute]":
        """For as long as images are given to it; only then it takes memory and time."""


def described(settings: Settings, manifest: ModelManifest) -> Mapping[str, Any]:
    """What the history of a catalogue says of a model that the settings name."""
    versions = {"tate-embeddings": __version__, **manifest.made_with}
    return {"model": settings.model_name, "pretrained": settings.pretrained, "versions": versions}


# Images by the digest of their bytes, and where they are, to what becomes of each, a few at a time and in any order.
Compute = Callable[[Mapping[str, Path]], Iterator[Mapping[str, Picture | Unusable]]]


@dataclass
class Embedded:
    """What came of a catalogue's pictures: how many were computed, rows there are now, failures by their code."""

    computed: int = 0
    rows: int = 0
    gone: int = 0
    without_image: int = 0
    failures: Counter[str] = field(default_factory=Counter)


def embed(
    listed: Sequence[Row],
    manifest: Mapping[str, Entry],
    places: Places,
    model: Model,
    run: str,
    told: Callable[[int, int], None] = lambda *_: None,
) -> Embedded:
    """Bring the rows of a catalogue to what its list and its manifest say.

    Args:
        listed: the list; rows that were published and aren't in it are marked as gone.
        manifest: which images there are.
        places: where they are, and where rows go; nobody else writes there.
        model: computes what is new.
        run: what this run is called in the history.
        told: is told how many pictures of how many are computed.

    Raises:
        OSError: rows can't be written; what was computed is kept.
    """
    finish(places.output)
    before = Rows.read(places.output)
    work = _Work(before, Journal(places.output, model.space, model.dimensions), model.space)
    ids = {row.id for row in listed}
    gone = [row for row in before.rows if row.id not in ids]
    work.compute(dict(_images(listed, gone, manifest, places)), model, told)
    with uncollected():
        rows = [work.row(row, manifest.get(row.url), places) for row in listed]
    failures = [work.failure(row, manifest.get(row.url)) for row in listed]
    now = round(time.time(), 3)
    published = [row for row in rows if row is not None] + [
        row._replace(gone_at=row.gone_at or now) for row in gone if work.has(row.sha256)
    ]
    failed = [failure for failure in failures if failure is not None]
    if (work.space, published, failed) != (before.space, before.rows, before.failures):
        change = {"run": run, "at": now, **model.describe(), "space": model.space, "dimensions": model.dimensions}
        change |= {"rows": len(published), "computed": work.computed, "failed": len(failed)}
        vectors = (work.vector(row.sha256) for row in published)
        publish(places.output, published, vectors, model.dimensions, failed, change)
    work.journal.forget()
    return Embedded(
        work.computed,
        len(published) - len(gone),
        len(gone),
        sum(_digest(manifest.get(row.url)) is None for row in listed),
        Counter(failure.code for failure in failed),
    )


class _Work:
    """What is known of images, from earlier and from now, and what rows become of them."""

    def __init__(self, before: Rows, journal: Journal, space: str) -> None:
        same = before.space == space
        self.space = space
        self.journal = journal
        self.computed = 0
        self._vectors = before.vectors
        self._rows = {row.id: row for row in before.rows} if same else {}
        self._places = {row.sha256: place for place, row in enumerate(before.rows)} if same else {}
        self._since = {row.sha256: row.embedded_at for row in before.rows} if same else {}
        self._sizes = {row.sha256: (row.width, row.height) for row in before.rows} if same else {}
        self._unusable = {
            failure.sha256: Unusable(failure.code, failure.detail)
            for failure in before.failures
            if failure.dead and failure.space == space
        }

    def compute(self, images: Mapping[str, Path], model: Model, told: Callable[[int, int], None]) -> None:
        """Have those computed of which nothing is known."""
        new = {digest: path for digest, path in images.items() if not self.has(digest) and digest not in self._unusable}
        if not new:
            return
        with model.computing() as compute, self.journal.adding() as add:
            told(0, len(new))
            for outcomes in compute(new):
                add({digest: outcome for digest, outcome in outcomes.items() if isinstance(outcome, Picture)})
                self._unusable |= {
                    digest: outcome for digest, outcome in outcomes.items() if isinstance(outcome, Unusable)
                }
                self.computed += len(outcomes)
                told(self.computed, len(new))

    def has(self, digest: str) -> bool:
        """Whether an image has a vector."""
        return digest in self._places or digest in self.journal.pictures

    def vector(self, digest: str) -> Vectors:
        """An image's vector."""
        place = self._places.get(digest)
        return self.journal.pictures[digest].vector if place is None else self._vectors[place]

    def row(self, listed: Row, entry: Entry | None, places: Places) -> Published | None:
        """A picture's row: of its image as it is, or else of the last one that had a vector."""
        digest = _digest(entry)
        if digest is not None and self.has(digest):
            assert entry is not None
            assert entry.path is not None
            picture = self.journal.pictures.get(digest)
            width, height = (picture.width, picture.height) if picture else self._sizes[digest]
            since = self._since.get(digest) or round(time.time(), 3)
            path = places.path_of(entry.path)
            return Published(listed.id, listed.url, digest, path, width, height, since, dict(listed.metadata))
        before = self._rows.get(listed.id)
        return before._replace(metadata=dict(listed.metadata), gone_at=None) if before else None

    def failure(self, listed: Row, entry: Entry | None) -> Failed | None:
        """Why a picture's image has no vector, if it has an image."""
        digest = _digest(entry)
        if digest is None or self.has(digest):
            return None
        code, detail = self._unusable[digest]
        return Failed(listed.id, listed.url, digest, code, detail, code in DEAD, self.space)


def _images(
    listed: Sequence[Row], gone: Sequence[Published], manifest: Mapping[str, Entry], places: Places
) -> Iterator[tuple[str, Path]]:
    """The digest of each image that should have a vector, and where it is."""
    for row in listed:
        entry = manifest.get(row.url)
        if entry is not None and entry.sha256 is not None and entry.path is not None:
            yield entry.sha256, places.images / entry.path
    for published in gone:
        yield published.sha256, places.output / published.path


def _digest(entry: Entry | None) -> str | None:
    return None if entry is None or entry.path is None else entry.sha256
