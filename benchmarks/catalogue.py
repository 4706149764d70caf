"""A catalogue's nightly job, each command a process of its own: downloading, embedding, and a night without news."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from app.config import Precision
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.apart import apart
from benchmarks.conditions import Conditions
from benchmarks.image_host import image_host
from benchmarks.inputs import urls
from benchmarks.photograph import SMALL
from benchmarks.report import Figure, Section, rows

ROUNDS = 3
DOWNLOADED = 3000
# As many as take some twenty seconds.
EMBEDDED = 480
UNCHANGED = 100_000
REQUIRED_RATE = 300
REQUIRED_SHARE = 0.9
REQUIRED_S = 10.0

# What commands leave for Prometheus: how fast they were, and that there was nothing to do.
DOWNLOAD_RATE, EMBEDDING_RATE = "catalogue_download_rate", "catalogue_embedding_rate"
NOTHING_DONE = {"catalogue_download_asked": 0, "catalogue_embedded": 0, "catalogue_index_put": 0}


class Done(NamedTuple):
    """A command that has ended well: the seconds of its whole process, and the figures that it has left."""

    seconds: float
    figures: Mapping[str, float]

    def checked(self, expected: Mapping[str, float]) -> "Done":
        """This, if its figures are these; measured of anything else it would mean nothing."""
        found = {name: self.figures.get(name) for name in expected}
        if found != expected:
            raise RuntimeError(f"a command of the catalogue came to {found}, and not to {expected}")
        return self


class Part(NamedTuple):
    """A line of the table, and the figure in it."""

    line: Sequence[str]
    figure: Figure


def table(conditions: Conditions) -> Section:
    """Images downloaded in a second, the share of the engine's rate that embedding reaches, a second run's seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with image_host(SMALL) as host:
            addresses = [*islice(urls(host), conditions.count(DOWNLOADED))]
            parts = [_downloading(conditions, addresses, folder)]
        few = addresses[: conditions.count(EMBEDDED)]
        parts += [_embedding(conditions, precision, few, folder) for precision in conditions.precisions]
        parts.append(_running_again(conditions, folder))
    text = (
        "## The catalogue's job\n\n"
        "`tate-embeddings catalogue STAGE LIST --dir DIR`, each a process of its own. "
        f"Images of 20 kB ({SMALL[0]} x {SMALL[1]}), each another, from one host on loopback. How many in a second is "
        "what the command says for Prometheus, from its first image to the last on the disk, without its start. The "
        "engine by itself has pixels ready, and as many batches at a time as it has streams; both take their turn. "
        "What `run` finds was asked for, embedded and indexed before, and its files are in the page cache.\n\n"
        + rows(["what", "median", "rounds", "also"], [part.line for part in parts])
    )
    return Section(text, [part.figure for part in parts])


def _downloading(conditions: Conditions, addresses: Sequence[str], folder: Path) -> Part:
    listing = _listed(folder / "downloaded.txt", addresses)
    rounds = [
        _command(conditions, "float32", "download", listing, home).checked({"catalogue_download_new": len(addresses)})
        for home in _homes(conditions, folder)
    ]
    rates = [done.figures[DOWNLOAD_RATE] for done in rounds]
    rate, whole = statistics.median(rates), statistics.median(done.seconds for done in rounds)
    line = [
        f"`download`, {len(addresses):,} images",
        f"{rate:.0f}/s",
        ", ".join(f"{each:.0f}" for each in rates),
        f"{whole:.1f} s for the whole process",
    ]
    return Part(line, Figure.at_least("catalogue: images of 20 kB downloaded", rate, REQUIRED_RATE, form="{:.0f}/s"))


def _embedding(conditions: Conditions, precision: Precision, addresses: Sequence[str], folder: Path) -> Part:
    listing = _listed(folder / "embedded.txt", addresses)
    home, *_ = _homes(conditions, folder)  # where the images are
    alone, rates = [], []
    for number in range(conditions.rounds(ROUNDS)):
        alone.append(apart("engine_alone", "pictures_in_a_second", conditions, precision))
        output = folder / f"{precision}-{number}"
        done = _command(conditions, precision, "embed", listing, home, output)
        rates.append(done.checked({"catalogue_embedded": len(addresses)}).figures[EMBEDDING_RATE])
    shares = [rate / own for rate, own in zip(rates, alone, strict=True)]
    share = statistics.median(shares)
    line = [
        f"`embed`, {len(addresses):,} images, {precision}",
        f"{share:.0%} of the engine by itself",
        ", ".join(f"{each:.0%}" for each in shares),
        f"{statistics.median(rates):.1f}/s of {statistics.median(alone):.1f}/s",
    ]
    name = f"catalogue: embedding, share of the engine's own rate, {precision}"
    return Part(line, Figure.at_least(name, share, REQUIRED_SHARE, form="{:.0%}"))


def _running_again(conditions: Conditions, folder: Path) -> Part:
    count = conditions.count(UNCHANGED)
    home, listing = folder / "unchanged", folder / "unchanged.csv"
    apart("unchanged", "lay_out", conditions, listing, home, count)
    precision = conditions.precisions[0]
    indexed = _command(conditions, precision, "index", listing, home).checked({"catalogue_index_put": count})
    seconds = [
        _command(conditions, precision, "run", listing, home)
        .checked({**NOTHING_DONE, "catalogue_rows": count, "catalogue_index_items": count})
        .seconds
        for _ in range(conditions.rounds(ROUNDS))
    ]
    line = [
        f"`run` again over {count:,} unchanged rows",
        f"{statistics.median(seconds):.1f} s",
        ", ".join(f"{each:.1f}" for each in seconds),
        f"`index` for the first time: {indexed.seconds:.0f} s",
    ]
    name = f"catalogue: second run over {count:,} unchanged rows"
    return Part(line, Figure.at_most(name, statistics.median(seconds), REQUIRED_S, form="{:.1f} s"))


def _homes(conditions: Conditions, folder: Path) -> list[Path]:
    """A catalogue's folder for each round."""
    return [folder / f"catalogue-{number}" for number in range(conditions.rounds(ROUNDS))]


def _listed(file: Path, addresses: Sequence[str]) -> Path:
    file.write_text("".join(f"{address}\n" for address in addresses), "utf-8")
    return file


def _command(
    conditions: Conditions, precision: Precision, stage: str, listing: Path, home: Path, output: Path | None = None
) -> Done:
    """Let a stage run on a list to its end; rows go to the catalogue's own folder or to another."""
    output = output or home
    environment = {
        "MODEL_NAME": conditions.model,
        "PRETRAINED": conditions.pretrained,
        "MODEL_CACHE_DIR": str(conditions.cache),
        "PRECISION": precision,
        "DEVICE": "cpu",
        "ALLOW_PRIVATE_NETWORKS": "true",
        "INDEX_URL": "",
        "LOG_LEVEL": "WARNING",
    }
    words = ["catalogue", stage, str(listing), "--dir", str(home), "--output-dir", str(output)]
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", *words], env={**os.environ, **environment}, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    if ended.returncode:
        raise RuntimeError(f"`catalogue {stage}` failed: {ended.stdout}{ended.stderr}")
    return Done(seconds, figures_of((output / f"catalogue-{stage}.prom").read_text("utf-8")))


def figures_of(text: str) -> dict[str, float]:
    """The figures of a file for Prometheus that are of a whole run, and not of one kind of what has failed in it."""
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.keys() == {"command"}
    }
