"""What is done with an index and measured, each in a process that does nothing else."""

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from app.embeddings.engines import Vectors
from app.search.filters import parsed
from app.search.opening import opened
from app.search.store import Item

from benchmarks.clusters import Clusters, Part, metadata

SPACE = "0123456789abcdef"
KIB = 1024


class Searched(NamedTuple):
    """Of one part of an index: the seconds of each search, and the positions of what it has found."""

    seconds: list[float]
    found: list[list[int]]


class Memory(NamedTuple):
    """Bytes that a process holds: its own, and those of files that the system may take back."""

    own: int
    of_files: int


def put(index_url: str, clusters: Clusters) -> float:
    """Put vectors into an index, some at a time; the seconds that this took, without making them."""
    seconds = 0.0
    with closing(opened(index_url)) as store:
        for positions, vectors in clusters.batches():
            items = [
                Item(str(position), vector, metadata(position), f"digest {position}")
                for position, vector in zip(positions.tolist(), vectors, strict=True)
            ]
            started = perf_counter()
            store.upsert(items, SPACE)
            seconds += perf_counter() - started
    return seconds


def settle(index_url: str) -> tuple[float, int]:
    """Make an index fast to search: the seconds that this took, and bytes of memory at the most."""
    started = perf_counter()
    with closing(opened(index_url)) as store:
        store.settle()
    return perf_counter() - started, _held("VmHWM")


def search(
    index_url: str, warming_up: Vectors, queries: Vectors, parts: Sequence[Part], limit: int
) -> tuple[list[Searched], Memory]:
    """Search for what is nearest, one query after the other, in all of an index and in parts of it."""
    with closing(opened(index_url)) as store:
        searched = []
        for part in parts:
            where = parsed(part.filter)
            for query in warming_up:
                store.search(query, limit, where, SPACE)
            of_part = Searched([], [])
            for query in queries:
                started = perf_counter()
                found = store.search(query, limit, where, SPACE)
                of_part.seconds.append(perf_counter() - started)
                of_part.found.append([int(each.id) for each in found])
            searched.append(of_part)
        return searched, Memory(_held("RssAnon"), _held("RssFile"))


def _held(kind: str) -> int:
    """Bytes of this process's memory. What `getrusage` says begins with that of the process that has started it."""
    said = re.search(rf"^{kind}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert said is not None
    return int(said[1]) * KIB
