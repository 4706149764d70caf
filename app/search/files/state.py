"""What a folder holds between two replacements of `faiss.index`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.embeddings.engines import Vectors
from app.search.files import nearest
from app.search.files.items import NO_KEY_YET, Items, Keys, Reading
from app.search.files.nearest import EXACT_UP_TO, Nearest
from app.search.files.recent import Recent
from app.search.store import Found

# An index is made anew once this share of it has changed, or so many: comparing them takes some milliseconds.
CHANGED_SHARE = 0.05
MOST_CHANGED = 10_000


class State:
    """An index that was made at one moment, and the items from which it differs by what has changed since."""

    def __init__(self, index: Path) -> None:
        """Open them.

        Raises:
            FileNotFoundError: there is no such index.
            IndexUnavailable: it is damaged.
        """
        self._nearest = Nearest(index)
        self.label = self._nearest.label
        self.items = Items(index.parent / self.label.items)
        self._recent = Recent(self.label.last_key)

    def search(self, items: Reading, vector: Vectors, limit: int, among: Keys | None) -> list[Found]:
        """The items nearest to a unit vector, the nearest first; of some keys only, if they are given."""
        recent_keys, recent_vectors = self._recent.caught_up(items)
        # Both know keys that are gone.
        gone = self.label.count + len(recent_keys) - items.about().count
        found: list[Found] = []
        for wanted in (limit, limit + gone) if gone else (limit,):
            keys, scores = self._nearest.search(vector, wanted, among)
            if len(recent_keys):
                counting = slice(None) if among is None else np.isin(recent_keys, among)
                keys = np.concatenate([keys, recent_keys[counting]])
                scores = np.concatenate([scores, recent_vectors[counting] @ vector])
            best = np.argsort(-scores, kind="stable")[:wanted]
            found = items.found(dict(zip(keys[best].tolist(), scores[best].tolist(), strict=True)))
            if len(found) >= limit or len(best) < wanted:
                break
        return found[:limit]

    def has_changed_much(self) -> bool:
        """Whether it is time to make the index anew."""
        with self.items.reading() as items:
            count = items.about().count
            new = items.count_after(self.label.last_key)
        changed = new + (self.label.count + new - count)
        return changed > (0 if count <= EXACT_UP_TO else min(MOST_CHANGED, CHANGED_SHARE * count))

    def make(self, path: Path) -> None:
        """Make an index of the items as they are, in another file.

        Keys that are given meanwhile aren't in it, nor is what is taken out and not read yet; neither is forgotten.
        """
        with self.items.reading() as items:
            about, last = items.about(), items.last_key()

        nearest.made(
            path, self.label.items, last, about.count, about.dimensions or 1, lambda: _batches(self.items, last)
        )

    def details(self) -> dict[str, str]:
        """What there is to say of how it is searched."""
        if not self.label.probes:
            return {"search": "exact"}
        return {"search": f"{self.label.probes} lists are compared", "recall": f"{self.label.recall:.3f}"}


def _batches(items: Items, until: int) -> Iterator[tuple[Keys, Vectors]]:
    """All vectors up to a key, read in pieces: nobody who writes has to wait for more than one of them."""
    last = NO_KEY_YET
    while True:
        with items.reading() as some:
            keys, vectors = some.vectors_after(last, until, nearest.BATCH)
        if not len(keys):
            return
        yield keys, vectors
        last = int(keys[-1])
