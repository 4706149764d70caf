"""Vectors that are computed and not published yet: records of one size, of which a crash can only spoil the last.

A record is of an image and not of a row: a picture is computed once, however many rows show it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from app.embeddings.engines import Vectors

NAME = "embeddings-{}.journal"


class Picture(NamedTuple):
    """What a model made of an image; width and height are as displayed."""

    vector: Vectors
    width: int
    height: int


Add = Callable[[Mapping[str, Picture]], None]


class Journal:
    """The pictures of one space that somebody has computed, by the digest of the image."""

    def __init__(self, folder: Path, space: str, dimensions: int) -> None:
        """Read it, if there is one."""
        self._path = folder / NAME.format(space)
        self._record = np.dtype(
            [
                ("sha256", np.uint8, 32),
                ("width", "<u4"),
                ("height", "<u4"),
                ("vector", "<f4", dimensions),
                ("checksum", "<u4"),
            ]
        )
        self.pictures: dict[str, Picture] = {}
        self._whole = 0
        if self._path.exists():
            for record in np.fromfile(self._path, self._record):
                if record["checksum"] != self._checksum(record):
                    break  # and whatever follows: it is computed again
                picture = Picture(record["vector"].copy(), int(record["width"]), int(record["height"]))
                self.pictures[record["sha256"].tobytes().hex()] = picture
                self._whole += 1

    @contextmanager
    def adding(self) -> Iterator[Add]:
        """Hands out what adds pictures; they are in the file when it returns."""
        with self._path.open("ab") as file:
            file.truncate(self._whole * self._record.itemsize)

            def add(pictures: Mapping[str, Picture]) -> None:
                records = np.zeros(len(pictures), self._record)
                for record, (digest, picture) in zip(records, pictures.items(), strict=True):
                    record["sha256"] = np.frombuffer(bytes.fromhex(digest), np.uint8)
                    record["width"], record["height"], record["vector"] = picture.width, picture.height, picture.vector
                    record["checksum"] = self._checksum(record)
                file.write(records.tobytes())
                file.flush()
                self.pictures.update(pictures)
                self._whole += len(pictures)

            yield add

    def forget(self) -> None:
        """Remove it: everything in it is published."""
        self._path.unlink(missing_ok=True)

    def _checksum(self, record: Any) -> int:
        return crc32(record.tobytes()[: -self._record["checksum"].itemsize])
