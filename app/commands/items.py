"""What is to be embedded: texts, files, folders and URLs, as they are named. Nothing is read before its turn."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TextIO

from app.errors import ImageNotFound, ItemsUnavailable, TooLarge

Kind = Literal["text", "file", "url"]

STDIN = "-"
URL = re.compile("[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# What counts as an image in a folder. Of a file that is named its bytes decide.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})


@dataclass(frozen=True)
class Item:
    """A text, the path of a file, or a URL."""

    kind: Kind
    name: str


class Items:
    """Everything that was named, in order: files, folders and URLs, then texts, then lines of files. Close it.

    Raises:
        ItemsUnavailable: there is nothing, or a file of texts can't be opened.
    """

    def __init__(self, named: Sequence[str], texts: Sequence[str], texts_from: Sequence[str]) -> None:
        self._named = named
        self._texts = texts
        self._open = ExitStack()
        if not (named or texts or texts_from):
            raise ItemsUnavailable('name what to embed: files, folders, URLs, --text "a stormy sea", --texts-from FILE')
        with ExitStack() as opened:
            self._lines = [opened.enter_context(_opened(name)) for name in texts_from]
            self._open = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def __iter__(self) -> Iterator[Item]:
        for name in self._named:
            yield from _named(name)
        for text in self._texts:
            yield Item("text", text)
        for lines in self._lines:
            for line in lines:
                yield Item("text", line.removesuffix("\n"))


def read(path: str, max_bytes: int) -> bytes:
    """A file's bytes.

    Raises:
        ServiceError: it isn't there, can't be read, or is too large.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(max_bytes + 1)
    except IsADirectoryError:
        raise ImageNotFound("The folder has no images, or can't be read.") from None
    except (OSError, ValueError) as error:
        raise ImageNotFound(f"The file can't be read: {getattr(error, 'strerror', None) or error}.") from None
    if len(data) > max_bytes:
        raise TooLarge(f"The image has more than {max_bytes} bytes.")
    return data


def _opened(name: str) -> TextIO:
    """Lines of UTF-8, with or without a mark at the beginning; a line that is something else shows it by surrogates."""
    try:
        source = sys.stdin.fileno() if name == STDIN else name
        return open(source, encoding="utf-8-sig", errors="surrogateescape", closefd=name != STDIN)
    except OSError as error:
        raise ItemsUnavailable(f"the texts of {name} can't be read ({error.strerror})") from None


def _named(name: str) -> Iterator[Item]:
    if URL.match(name):
        yield Item("url", name)
    elif Path(name).is_dir():
        yield from _images_in(name)
    else:
        yield Item("file", name)


def _images_in(folder: str) -> Iterator[Item]:
    """The images in a folder and in those below, by name, but for hidden ones. One without any is an item itself."""
    unreadable: list[OSError] = []
    empty = True
    for place, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                empty = False
                yield Item("file", str(Path(place) / name))
    for error in unreadable:
        yield Item("file", error.filename)
    if empty and not unreadable:
        yield Item("file", folder)
