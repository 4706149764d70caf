"""Files on disk that can be made again: kept while there is room, the last that were asked for the longest."""

import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

logger = logging.getLogger(__name__)

# How much is written before it is looked at what there is; and how much of the room is used after that, at most.
LOOK_EVERY_BYTES = 32 * 1024 * 1024
USED_AFTERWARDS = 0.8
# Digests, and what isn't finished yet: nothing else goes, wherever somebody has it kept.
OURS = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{16}")


class Kept:
    """A folder of files by digest, which several processes may share. Methods block."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._written = LOOK_EVERY_BYTES  # what earlier processes have left is looked at with the first file
        self._complained = False

    def get(self, digest: str) -> bytes | None:
        """The file of a digest, if it is kept."""
        file = self._file(digest)
        try:
            data = file.read_bytes()
        except OSError:
            return None
        with suppress(OSError):  # of a disk that may only be read
            os.utime(file)  # by which it is seen what nobody asks for
        return data

    def keep(self, digest: str, data: bytes) -> None:
        """Keep a file, if that can be."""
        file = self._file(digest)
        unfinished = file.with_name(f".{token_hex(8)}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                unfinished.write_bytes(data)
                unfinished.replace(file)
            finally:
                unfinished.unlink(missing_ok=True)
            self._written += len(data)
            if self._written >= LOOK_EVERY_BYTES:
                self._written = 0
                self._make_room()
        except OSError as error:
            if not self._complained:
                logger.warning("nothing can be kept in %s (%s)", self._folder, error.strerror or type(error).__name__)
            self._complained = True

    def _make_room(self) -> None:
        """Let go of what nobody has asked for in the longest time, if there is too much."""
        files = []
        for folder in self._folder.glob("??"):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if OURS.fullmatch(entry.name):
                        with suppress(FileNotFoundError):  # another process makes room too
                            files.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
        too_many = sum(size for _, size, _ in files)
        if too_many <= self._most_bytes:
            return
        too_many -= int(self._most_bytes * USED_AFTERWARDS)
        for _, size, path in sorted(files):
            if too_many <= 0:
                return
            Path(path).unlink(missing_ok=True)
            too_many -= size

    def _file(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest
