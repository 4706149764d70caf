"""What was put in since `faiss.index` was made: held in memory, and compared one by one."""

import threading

import numpy as np

from app.embeddings.engines import Vectors
from app.search.files.items import Keys, Reading

ROOM = 256


class Recent:
    """Keys beyond one and their vectors, as far as anybody has asked for them. May be used from several threads."""

    def __init__(self, after: int) -> None:
        self._last = after
        self._count = 0
        self._keys: Keys = np.empty(0, np.int64)
        self._vectors: Vectors = np.empty((0, 0), np.float32)
        self._growing = threading.Lock()

    def caught_up(self, items: Reading) -> tuple[Keys, Vectors]:
        """All of them that these items have; perhaps some more, which are younger."""
        with self._growing:
            keys, vectors = items.vectors_after(self._last)
            if len(keys):
                self._append(keys, vectors)
            return self._keys[: self._count], self._vectors[: self._count]

    def _append(self, keys: Keys, vectors: Vectors) -> None:
        """Add some behind those that were handed out already, which stay as they are."""
        count = self._count + len(keys)
        if count > len(self._keys):
            room = max(2 * len(self._keys), count, ROOM)
            grown_keys, grown_vectors = np.empty(room, np.int64), np.empty((room, vectors.shape[1]), np.float32)
            if self._count:
                grown_keys[: self._count] = self._keys[: self._count]
                grown_vectors[: self._count] = self._vectors[: self._count]
            self._keys, self._vectors = grown_keys, grown_vectors
        self._keys[self._count : count] = keys
        self._vectors[self._count : count] = vectors
        self._count, self._last = count, int(keys[-1])
