"""Pictures as they lie in a folder, for items that name a file of it."""

from pathlib import Path, PurePosixPath

from app.errors import TooLarge
from app.gallery.shown import Picture

# How the catalogue names pictures, wherever the folder of them lies: `ab/ab….jpg`.
PARTS_OF_A_NAME = 2


class Originals:
    """The pictures in a folder and below; nothing outside it is read, whatever an item says."""

    def __init__(self, folder: Path | None, max_bytes: int) -> None:
        """Read from a folder, if there is one."""
        self._folder = folder.resolve() if folder else None
        self._max_bytes = max_bytes

    def read(self, picture: Picture) -> bytes | None:
        """The bytes of a picture; None if it isn't here.

        Raises:
            TooLarge: it has more than may be decoded.
        """
        file = self._file(picture)
        if file is None:
            return None
        try:
            with file.open("rb") as opened:
                data = opened.read(self._max_bytes + 1)
        except OSError:
            return None
        if len(data) > self._max_bytes:
            raise TooLarge(f"The picture has more than {self._max_bytes} bytes.")
        return data

    def has(self, picture: Picture) -> bool:
        """Whether a picture is here."""
        return self._file(picture) is not None

    def _file(self, picture: Picture) -> Path | None:
        if self._folder is None or picture.path is None or "\0" in picture.path:
            return None
        parts = PurePosixPath(picture.path).parts
        for name in (parts, parts[-PARTS_OF_A_NAME:]):
            try:
                file = self._folder.joinpath(*name).resolve()
                if file.is_relative_to(self._folder) and file.is_file():
                    return file
            except (OSError, RuntimeError, ValueError):  # a name that is too long, or links in a circle
                continue
        return None
