"""`kill -9` at any moment, then the same command: nothing lost, nothing doubled, nothing done again that was finished.

`make test` kills a few times, `make test-long` as often as KILLS says.
"""

import json
import logging
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from app.catalogue.journal import NAME
from app.catalogue.manifest import Manifest
from app.catalogue.places import Places
from app.catalogue.rows import Rows
from app.search.files.store import FileStore

from tests.catalogue.conftest import picture
from tests.images.hosts import Host, content

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("KILLS", "8"))
# Every night the list has so many new pictures, of which two are the same, and so many of the old ones are gone.
NEW, GONE = 12, 2
# Of the space of the bundled model; an image's digest, its size, its vector and a checksum.
RECORD = 32 + 8 + 4 * 512 + 4


class Nights:
    """A catalogue night after night."""

    def __init__(self, folder: Path, host: Host, seed: int) -> None:
        self.places = Places.of(folder / "catalogue", None, None, None)
        self.chance = random.Random(seed)
        self._host = host
        self._list = folder / "list.jsonl"
        self._listed: list[str] = []
        self._count = 0

    def pass_(self) -> None:
        """Another list."""
        for name in self.chance.sample(self._listed, min(GONE, len(self._listed))):
            self._listed.remove(name)
        for number in range(self._count, self._count + NEW):
            shown = number - 1 if number % NEW == 1 else number
            self._host.answers[f"/{number}"] = content(picture(shown), ETag=f'"{number}"')
            self._listed.append(f"/{number}")
        self._count += NEW
        lines = [{"id": f"id{name}", "url": self._host.url(name), "title": name} for name in self._listed]
        self._list.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def command(self) -> "subprocess.Popen[str]":
        environment = {"MODEL_NAME": "tiny-gallery", "ALLOW_PRIVATE_NETWORKS": "true", "PRECISION": "float32"}
        words = ["catalogue", "run", str(self._list), "--dir", str(self.places.output), "--max-age", "7d"]
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", *words],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def downloaded(self) -> dict[str, int]:
        """How often each URL was asked for whose image is there."""
        asked = Counter(self._host.url(request.path) for request in self._host.asked)
        return {url: asked[url] for url, entry in Manifest(self.places.manifest).items() if entry.status == "ok"}

    def computed(self) -> set[str]:
        """The digests of images whose vectors are there, published or not."""
        found = {row.sha256 for row in Rows.read(self.places.output).rows}
        valid = self.places.output / ".valid"
        if valid.exists():
            found |= {json.loads(line)["sha256"] for line in (valid / "metadata.jsonl").read_text().splitlines()}
        for journal in self.places.output.glob(NAME.format("*")):
            records = journal.read_bytes()
            starts = range(0, len(records) - RECORD + 1, RECORD)
            found |= {records[start : start + 32].hex() for start in starts}
        return found

    @property
    def listed(self) -> set[str]:
        return {f"id{name}" for name in self._listed}


@pytest.fixture
def nights(tmp_path: Path, host: Host) -> Nights:
    seed = time.time_ns()
    logging.getLogger(__name__).warning("seed %d", seed)  # which pytest shows if the test fails
    return Nights(tmp_path, host, seed)


@pytest.mark.slow
def test_a_catalogue_that_is_killed_goes_on_where_it_was(nights: Nights) -> None:
    nights.pass_()
    begun = time.monotonic()
    _, failures = nights.command().communicate()
    longest_s = time.monotonic() - begun
    assert Rows.read(nights.places.output).rows, failures

    for _ in range(KILLS):
        nights.pass_()
        process = nights.command()
        # Nothing is done in the first part, which is for imports.
        try:
            process.communicate(timeout=nights.chance.uniform(0.25, 1) * longest_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        downloaded, computed = nights.downloaded(), nights.computed()

        process = nights.command()
        said, log = process.communicate()
        assert process.returncode == 0, said + log

        assert nights.downloaded().items() >= downloaded.items()
        assert nights.computed() >= computed
        (inferences,) = map(int, re.findall(r"embed: (\d+) image", said))
        assert inferences == len(nights.computed()) - len(computed)
        check(nights)


def check(nights: Nights) -> None:
    """Everything is there, once, and belongs together."""
    places = nights.places
    lines = places.manifest.read_text().splitlines()
    assert len(lines) == len({json.loads(line)["url"] for line in lines})
    published = Rows.read(places.output)
    assert len(published.rows) == len(published.vectors) == len({row.id for row in published.rows})
    assert {row.id for row in published.rows if not row.gone_at} == nights.listed
    assert np.load(places.output / "embeddings.npy", mmap_mode="r").shape[0] == len(published.rows)
    assert not list(places.output.glob("*.journal"))
    by_digest: dict[str, bytes] = {}
    for row, vector in zip(published.rows, published.vectors, strict=True):
        assert by_digest.setdefault(row.sha256, vector.tobytes()) == vector.tobytes()
        assert (places.output / row.path).exists()
    assert len(set(by_digest.values())) == len(by_digest)
    store = FileStore(places.output)
    assert published.space
    vectors = store.vectors([row.id for row in published.rows], published.space)
    assert store.about().count == len(published.rows)
    assert all(np.array_equal(vectors[row.id], published.vectors[place]) for place, row in enumerate(published.rows))
    store.close()
