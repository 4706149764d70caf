"""Vectors in clusters, as those of pictures lie, and which of them are nearest, found by comparing all.

They are drawn by chance, but alike each time: nobody holds all of them, and whoever needs them again makes them again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from app.embeddings.engines import Vectors
from numpy.typing import NDArray

Positions = NDArray[np.int64]

PER_CLUSTER = 100
# How long the noise is that is added to a centre of length 1: two of a cluster have a cosine of about 0.7.
NOISE = 0.65
# Pictures that are made, put in, or compared at once.
BATCH = 2000
SEEDS = {"centres": 0, "vectors": 1, "queries": 2}
DIMENSIONS = 512


class Part(NamedTuple):
    """What a filter lets through: of each `every` vectors one, counted from `first`."""

    name: str
    filter: dict[str, Any]
    every: int
    first: int

    def has(self, positions: Positions) -> NDArray[np.bool_]:
        """Which of these vectors it lets through."""
        through: NDArray[np.bool_] = positions % self.every == self.first
        return through


ARTISTS = 1000
PARTS = (
    Part("all", {}, 1, 0),
    Part("half", {"on_display": True}, 2, 0),
    Part("0.1 %", {"artist": "Artist 7"}, ARTISTS, 7),
)


def metadata(position: int) -> dict[str, Any]:
    """What there is to say of a vector, which the filters of the parts look at among others."""
    return {
        "title": f"Picture {position}",
        "url": f"https://collection.example/pictures/{position}.jpg",
        "artist": f"Artist {position % ARTISTS}",
        "on_display": position % 2 == 0,
        "year": 1700 + position % 300,
    }


@dataclass(frozen=True)
class Clusters:
    """So many unit vectors around random centres, one centre for each hundred; positions are counted from 0."""

    count: int
    dimensions: int = DIMENSIONS

    def batches(self) -> Iterator[tuple[Positions, Vectors]]:
        """All of them, some at a time."""
        centres = self._centres()
        for first in range(0, self.count, BATCH):
            positions = np.arange(first, min(first + BATCH, self.count))
            yield positions, self._around(centres, len(positions), SEEDS["vectors"], first)

    def queries(self, count: int) -> Vectors:
        """Unit vectors around the same centres that aren't among them."""
        return self._around(self._centres(), count, SEEDS["queries"], 0)

    def nearest(self, queries: Vectors, limit: int, parts: Sequence[Part] = PARTS) -> list[Positions]:
        """For each part, the positions of those in it that are nearest to each query; -1 where there are no more."""
        best = [_Best(len(queries), limit) for _ in parts]
        for positions, vectors in self.batches():
            scores = queries @ vectors.T
            for part, of_part in zip(parts, best, strict=True):
                through = part.has(positions)
                of_part.see(positions[through], scores[:, through])
        return [of_part.positions for of_part in best]

    def _centres(self) -> Vectors:
        chance = np.random.default_rng(SEEDS["centres"])
        count = max(1, self.count // PER_CLUSTER)
        return _normalised(chance.standard_normal((count, self.dimensions), np.float32))

    def _around(self, centres: Vectors, count: int, *seed: int) -> Vectors:
        chance = np.random.default_rng(seed)
        chosen = centres[chance.integers(len(centres), size=count)]
        noise = chance.standard_normal((count, self.dimensions), np.float32)
        return _normalised(chosen + noise * np.float32(NOISE / self.dimensions**0.5))


def asked(clusters: Clusters, count: int, limit: int) -> tuple[Vectors, list[Positions]]:
    """Queries, and for each part what is nearest to each."""
    queries = clusters.queries(count)
    return queries, clusters.nearest(queries, limit)


def recall(found: Sequence[Sequence[int]], nearest: Positions) -> float:
    """The share of the nearest that was found, on the average over the queries for which there is anything."""
    wanted = [set(row[row >= 0].tolist()) for row in nearest]
    shares = [len(each & set(got)) / len(each) for got, each in zip(found, wanted, strict=True) if each]
    return sum(shares) / len(shares)


class _Best:
    """The best of what was seen so far, for each query."""

    def __init__(self, queries: int, limit: int) -> None:
        self.positions: Positions = np.full((queries, limit), -1, np.int64)
        self._scores = np.full((queries, limit), -np.inf, np.float32)

    def see(self, positions: Positions, scores: Vectors) -> None:
        limit = self._scores.shape[1]
        all_scores = np.concatenate([self._scores, scores], axis=1)
        all_positions = np.concatenate([self.positions, np.broadcast_to(positions, scores.shape)], axis=1)
        best = np.argpartition(-all_scores, limit - 1, axis=1)[:, :limit]
        self._scores = np.take_along_axis(all_scores, best, 1)
        self.positions = np.take_along_axis(all_positions, best, 1)


def _normalised(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
