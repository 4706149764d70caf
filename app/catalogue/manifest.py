"""What is known of the images behind URLs: `manifest.jsonl`, a line for each.

While images are downloaded lines are added, and the last line of a URL counts. A line that is broken, as a crash can
leave one, is passed over, and its URL asked again.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from app.catalogue.files import appended, line_of, lines_of, replaced

# `ok`: the image is here. `failed`: it may come another time. `dead`: it won't, unless somebody does something.
Status = Literal["ok", "failed", "dead"]


class Entry(NamedTuple):
    """What is known of a URL. Times are in seconds since 1970.

    The image, and what its host said of it, is the last that there was: a URL that fails later keeps it. How the URL
    was answered is of the last time that it was asked.
    """

    url: str
    status: Status
    checked_at: float
    attempts: int = 0
    latency_ms: float | None = None
    code: str | None = None
    detail: str | None = None
    # In how many runs in a row it has failed.
    failures: int = 0
    sha256: str | None = None
    path: str | None = None
    bytes: int | None = None
    content_type: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    downloaded_at: float | None = None


class Manifest(Mapping[str, Entry]):
    """The entries, by URL, as a file has them when this is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._entries: dict[str, Entry] = {}
        self._lines = 0
        known = set(Entry._fields)
        for line in lines_of(path):
            self._lines += 1
            if line is not None and isinstance(line.get("url"), str):
                # A newer version may say more of a URL, and an older one less.
                fields = line if line.keys() <= known else {name: line[name] for name in line.keys() & known}
                self._entries[line["url"]] = Entry(**{"status": "failed", "checked_at": 0.0, **fields})

    def __getitem__(self, url: str) -> Entry:
        return self._entries[url]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """For the time that entries are put in. At its end, also an early one, there is one line for each."""
        with appended(self._path) as self._file:
            try:
                yield
            finally:
                self._file = None
                if self._lines != len(self._entries):
                    self._write()

    def put(self, entry: Entry) -> None:
        """Put an entry in the place of its URL's; in the file at once."""
        assert self._file is not None
        self._file.write(line_of(entry._asdict()))
        self._file.flush()
        self._lines += 1
        self._entries[entry.url] = entry

    def keep(self, urls: Collection[str]) -> None:
        """Forget all URLs but these."""
        self._entries = {url: entry for url, entry in self._entries.items() if url in urls}
        self._write()

    def _write(self) -> None:
        with replaced(self._path) as file:
            file.writelines(line_of(entry._asdict()) for entry in self._entries.values())
        self._lines = len(self._entries)
