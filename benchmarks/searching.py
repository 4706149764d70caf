"""Indexes of vectors in clusters: how long they take to fill and to search, and how much of the nearest they find."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from app.search.opening import in_folder

from benchmarks.apart import apart
from benchmarks.clusters import BATCH, DIMENSIONS, PARTS, PER_CLUSTER, Clusters, recall
from benchmarks.conditions import Conditions
from benchmarks.database import postgresql
from benchmarks.indexing import Memory, Searched
from benchmarks.load import percentile
from benchmarks.report import Figure, Section, rows
from benchmarks.service import MIB

FEW, MANY = 100_000, 1_000_000
# One at a time, of new vectors around the same centres; and those before, which don't count.
SEARCHES, WARM_UP = 1000, 100
NEAREST = 10
REQUIRED_MS = 3.0
REQUIRED_RECALL = 0.98
REQUIRED_S = 120.0


class Measured(NamedTuple):
    """What became of an index: seconds to put all in and to make it fast, memory that this took, then searches."""

    name: str
    put_s: float
    settled_s: float
    settling: int
    searched: Sequence[Searched]
    recalls: Sequence[float]
    memory: Memory

    def milliseconds(self, part: int, share: float) -> float:
        """Within how many this share of the searches of a part ended."""
        return percentile(self.searched[part].seconds, share) * 1000


def table(conditions: Conditions) -> Section:
    """What became of 100,000 vectors and of a million in files, and of 100,000 in a database."""
    few, many = (Clusters(conditions.count(count)) for count in (FEW, MANY))
    small, small_bytes = _in_files(conditions, few)
    large, large_bytes = _in_files(conditions, many)
    with postgresql() as index_url:
        database = _measured(conditions, f"pgvector, {few.count:,}", index_url, few)
    everything = (small, large, database)
    filled = [
        [*_filled(small), f"{small_bytes / MIB:.0f} MiB", *_memory(small)],
        [*_filled(large), f"{large_bytes / MIB:.0f} MiB", *_memory(large)],
        [*_filled(database), "", "", ""],
    ]
    text = (
        "## Searching vectors\n\n"
        f"Unit vectors of {DIMENSIONS} numbers, about {PER_CLUSTER} around each of random centres, with a few fields "
        f"of metadata; put in by {BATCH:,} through `Store.upsert`, made fast by `Store.settle`, each in a process of "
        "its own. PostgreSQL runs on the same machine, with the settings that it comes with.\n\n"
        + rows(
            ["index", "putting in", "making it fast", "both", "on disk", "memory to make it fast", "to search it"],
            filled,
        )
        + f"\n{conditions.count(SEARCHES):,} searches for the nearest {NEAREST} to other vectors around the same "
        "centres, one at a time, in a process that has searched before. Recall is of what comparing all vectors "
        "finds.\n\n"
        + rows(
            ["index", "a filter lets through", "p50", "p99", f"recall@{NEAREST}"],
            [line for measured in everything for line in _searches(measured)],
        )
    )
    name = f"faiss, {few.count:,} vectors"
    return Section(
        text,
        [
            Figure.at_most(f"{name}: p50 of a search", small.milliseconds(0, 0.5), REQUIRED_MS, form="{:.1f} ms"),
            Figure.at_least(f"{name}: recall@{NEAREST}", small.recalls[0], REQUIRED_RECALL, form="{:.3f}"),
            Figure.at_most(
                f"{few.count:,} vectors into pgvector, ready to search",
                database.put_s + database.settled_s,
                REQUIRED_S,
                form="{:.0f} s",
            ),
        ],
    )


def _in_files(conditions: Conditions, clusters: Clusters) -> tuple[Measured, int]:
    """An index in a folder, and the bytes of its files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "index"
        measured = _measured(conditions, f"faiss, {clusters.count:,}", in_folder(folder), clusters)
        return measured, sum(file.stat().st_size for file in folder.iterdir())


def _measured(conditions: Conditions, name: str, index_url: str, clusters: Clusters) -> Measured:
    put_s = apart("indexing", "put", index_url, clusters)
    settled_s, settling = apart("indexing", "settle", index_url)
    idle, count = conditions.count(WARM_UP), conditions.count(SEARCHES)
    asked, nearest = apart("clusters", "asked", clusters, idle + count, NEAREST)
    searched, memory = apart("indexing", "search", index_url, asked[:idle], asked[idle:], PARTS, NEAREST)
    recalls = [recall(each.found, wanted[idle:]) for each, wanted in zip(searched, nearest, strict=True)]
    return Measured(name, put_s, settled_s, settling, searched, recalls, memory)


def _filled(measured: Measured) -> list[str]:
    seconds = (measured.put_s, measured.settled_s, measured.put_s + measured.settled_s)
    return [measured.name, *(f"{each:.1f} s" for each in seconds)]


def _memory(measured: Measured) -> list[str]:
    own, of_files = measured.memory
    return [f"{measured.settling / MIB:.0f} MiB", f"{own / MIB:.0f} MiB, and {of_files / MIB:.0f} MiB of mapped files"]


def _searches(measured: Measured) -> list[list[str]]:
    return [
        [
            measured.name,
            part.name,
            f"{measured.milliseconds(number, 0.5):.2f} ms",
            f"{measured.milliseconds(number, 0.99):.2f} ms",
            f"{measured.recalls[number]:.3f}",
        ]
        for number, part in enumerate(PARTS)
    ]
