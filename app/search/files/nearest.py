"""`faiss.index`: vectors by key, made from the items at one moment and searched where they lie on disk.

Behind what faiss has written stands a line of JSON, and its length, that say of which items it was made: one rename
puts both in place.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from struct import Struct
from typing import Any, Self

import faiss
import numpy as np

from app.embeddings.engines import Vectors
from app.errors import IndexUnavailable
from app.resources import cores
from app.search.files.items import NO_KEY_YET, Keys

# Up to so many vectors are all compared: 20 MB of them, which takes a few milliseconds.
EXACT_UP_TO = 10_000
# Beyond it they lie in lists around centres, and the lists next to what is asked for are compared. Usual numbers:
LISTS_PER_ROOT = 4
TRAINED_PER_LIST = 40
ROUNDS_OF_TRAINING = 10
# How many lists are enough is measured when they are made, with so many queries, against comparing all.
RECALL = 0.99
PROBES_FOR = 10
SAMPLE = 200
# Of the lists that would hold as many items as are asked for, on average, so many more are looked at.
SLACK = 4
# Vectors that are read and added at once.
BATCH = 20_000

SIZE = Struct("!Q")
LONGEST_LABEL = 4096


@dataclass(frozen=True)
class Label:
    """Of which items an index was made, up to which key, and how it is searched."""

    items: str
    last_key: int
    count: int
    # How many lists are compared, and the share of the nearest that was found so; of few vectors all are compared.
    probes: int = 0
    recall: float = 1.0

    @classmethod
    def read(cls, path: Path) -> Self:
        """The label of a file.

        Raises:
            FileNotFoundError: there is none.
            IndexUnavailable: it isn't one of ours.
        """
        try:
            with path.open("rb") as file:
                file.seek(-SIZE.size, os.SEEK_END)
                (size,) = SIZE.unpack(file.read())
                file.seek(-SIZE.size - min(size, LONGEST_LABEL), os.SEEK_END)
                return cls(**json.loads(file.read(size)))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError) as error:
            raise IndexUnavailable("The index is damaged, or was written by another program.") from error

    def append(self, path: Path) -> None:
        """Write it behind an index, to the disk itself."""
        line = json.dumps(asdict(self)).encode()
        with path.open("ab") as file:
            file.write(line + SIZE.pack(len(line)))
            file.flush()
            os.fsync(file.fileno())


class Nearest:
    """An index that is searched. Methods may be called from several threads."""

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            FileNotFoundError: there is none.
            IndexUnavailable: it can't be read.
        """
        self.label = Label.read(path)
        try:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as error:
            raise IndexUnavailable("The index is damaged.") from error

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return int(self._index.d)

    def search(self, vector: Vectors, limit: int, among: Keys | None) -> tuple[Keys, Vectors]:
        """The keys whose vectors are nearest to a unit vector, in no order, and their cosines.

        Args:
            vector: what they are to be near to.
            limit: how many; fewer come only if there are no more.
            among: if given, the only keys that count.
        """
        faiss.omp_set_num_threads(1)  # others search, and embed, beside it
        count = self.label.count if among is None else min(len(among), self.label.count)
        limit = min(limit, count)
        if not limit:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        selector = None if among is None else _selector(among)
        if not self.label.probes:
            return self._found(vector, limit, faiss.SearchParameters(sel=selector))
        lists = self._index.nlist
        # Of a part of the items the nearest are further away.
        wanted = (self.label.probes + SLACK * limit * lists / self.label.count) * self.label.count / count
        probes = min(lists, math.ceil(wanted))
        keys, scores = self._found(vector, limit, faiss.SearchParametersIVF(sel=selector, nprobe=probes))
        if len(keys) < limit and probes < lists:
            keys, scores = self._found(vector, limit, faiss.SearchParametersIVF(sel=selector, nprobe=lists))
        return keys, scores

    def _found(self, vector: Vectors, limit: int, parameters: Any) -> tuple[Keys, Vectors]:
        scores, keys = self._index.search(vector[np.newaxis], limit, params=parameters)
        there = keys[0] >= 0
        return keys[0][there], scores[0][there]


Batches = Callable[[], Iterator[tuple[Keys, Vectors]]]


def made(path: Path, items: str, last_key: int, count: int, dimensions: int, batches: Batches) -> None:
    """Make an index in a file.

    Args:
        path: the file, which appears before it is whole.
        items: the file that the items are in.
        last_key: the last key that had been given when the first batch was read.
        count: about how many vectors there are.
        dimensions: how many numbers each has.
        batches: gives all keys, in their order, and vectors, as often as it is called.
    """
    faiss.omp_set_num_threads(cores())
    if count <= EXACT_UP_TO:
        index, probes, recall = faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions)), 0, 1.0
        for keys, vectors in batches():
            index.add_with_ids(vectors, keys)
    else:
        index = _trained(count, dimensions, batches)
        sample = _Sample(_sampled(batches, count, SAMPLE))
        for keys, vectors in batches():
            index.add_with_ids(vectors, keys)
            sample.compare(keys, vectors)
        probes, recall = sample.probes(index)
    faiss.write_index(index, str(path))
    Label(items, last_key, index.ntotal, probes, recall).append(path)


class _Sample:
    """Queries whose nearest vectors are found by comparing all, to measure what is found by comparing fewer.

    Half of them are vectors themselves. Half lie between two: words lie between pictures, and are harder.
    """

    def __init__(self, vectors: Vectors) -> None:
        half = len(vectors) // 2
        between = vectors[:half] + vectors[half : 2 * half]
        between /= np.maximum(np.linalg.norm(between, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        self._queries = np.concatenate([vectors[half:], between])
        self._keys = np.full((len(self._queries), PROBES_FOR), -1, np.int64)
        self._scores = np.full((len(self._queries), PROBES_FOR), -np.inf, np.float32)

    def compare(self, keys: Keys, vectors: Vectors) -> None:
        """See whether any of these are nearer than those that were seen before."""
        scores = np.concatenate([self._scores, self._queries @ vectors.T], axis=1)
        all_keys = np.concatenate([self._keys, np.broadcast_to(keys, (len(self._queries), len(keys)))], axis=1)
        best = np.argpartition(-scores, PROBES_FOR - 1, axis=1)[:, :PROBES_FOR]
        self._scores = np.take_along_axis(scores, best, 1)
        self._keys = np.take_along_axis(all_keys, best, 1)

    def probes(self, index: Any) -> tuple[int, float]:
        """How many lists are enough, and the share of the nearest that is found so."""
        probes = 1
        while True:
            _, found = index.search(self._queries, PROBES_FOR, params=faiss.SearchParametersIVF(nprobe=probes))
            recall = np.mean([np.isin(found[row], nearest).mean() for row, nearest in enumerate(self._keys)])
            if recall >= RECALL or probes >= index.nlist:
                return probes, float(recall)
            probes = min(2 * probes, index.nlist)


def _trained(count: int, dimensions: int, batches: Batches) -> Any:
    lists = round(LISTS_PER_ROOT * math.sqrt(count))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimensions), dimensions, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = ROUNDS_OF_TRAINING
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1  # it would complain of an index of a few thousand
    index.train(_sampled(batches, count, TRAINED_PER_LIST * lists))
    return index


def _sampled(batches: Batches, count: int, wanted: int) -> Vectors:
    """About so many of the vectors, drawn by chance but alike each time."""
    chance = np.random.default_rng(0)
    share = min(1.0, wanted / count)
    return np.concatenate([vectors[chance.random(len(vectors)) < share] for _, vectors in batches()])


def _selector(keys: Keys) -> Any:
    """Lets these keys through: a bit for each that may be. They are in order."""
    bits = np.zeros(int(keys[-1]) + 1 - NO_KEY_YET, np.bool_)
    bits[keys] = True
    return faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
