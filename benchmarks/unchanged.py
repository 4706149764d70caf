"""A catalogue as a night leaves it, laid out by the job's own modules but without a host and without a model."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from app.catalogue.images import keep
from app.catalogue.lists import Row, read
from app.catalogue.manifest import Entry, Manifest
from app.catalogue.places import Places
from app.catalogue.rows import Published, publish
from app.config import Settings
from app.embeddings.engines import Vectors
from app.embeddings.model import prepare

from benchmarks.conditions import Conditions

SIDE = 240
VECTORS_AT_ONCE = 10_000


def lay_out(conditions: Conditions, listing: Path, folder: Path, count: int) -> None:
    """Write a list of so many pictures, and a catalogue in which each was asked for and embedded just now.

    Args:
        conditions: whose model the vectors are to be of, though they are random.
        listing: the list, a `.csv`.
        folder: the catalogue.
        count: how many pictures.
    """
    _write_list(listing, count)
    listed = read(str(listing)).rows
    places = Places.of(folder, None, None, None)
    places.output.mkdir(parents=True)
    now = round(time.time(), 3)
    manifest = Manifest(places.manifest)
    with manifest.changing():
        for row in listed:
            manifest.put(_entry(row, places, now))
    settings = Settings.load(
        model_name=conditions.model, pretrained=conditions.pretrained, model_cache_dir=conditions.cache
    )
    model = prepare(settings).manifest
    change = {"run": "laid-out", "at": now, "space": model.space, "dimensions": model.dimensions, "rows": count}
    published = [_published(row, manifest[row.url], places) for row in listed]
    publish(places.output, published, _vectors(count, model.dimensions), model.dimensions, [], change)


def _write_list(listing: Path, count: int) -> None:
    with listing.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "url", "title", "artist", "year"])
        for number in range(count):
            url = f"https://collection.example/pictures/{number}.jpg"
            writer.writerow([f"N{number:06}", url, f"Picture {number}", f"Artist {number % 1000}", 1700 + number % 300])


def _entry(row: Row, places: Places, now: float) -> Entry:
    image = f"the image of {row.id}".encode()
    digest, path = keep(places.images, image)
    return Entry(
        row.url,
        "ok",
        checked_at=now,
        attempts=1,
        latency_ms=20.0,
        sha256=digest,
        path=path,
        bytes=len(image),
        content_type="image/jpeg",
        etag=f'"{digest[:16]}"',
        downloaded_at=now,
    )


def _published(row: Row, entry: Entry, places: Places) -> Published:
    assert entry.sha256 is not None
    assert entry.path is not None
    path = places.path_of(entry.path)
    return Published(row.id, row.url, entry.sha256, path, SIDE, SIDE, entry.checked_at, dict(row.metadata))


def _vectors(count: int, dimensions: int) -> Iterator[Vectors]:
    chance = np.random.default_rng(0)
    for first in range(0, count, VECTORS_AT_ONCE):
        vectors = chance.standard_normal((min(VECTORS_AT_ONCE, count - first), dimensions), np.float32)
        yield from vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
