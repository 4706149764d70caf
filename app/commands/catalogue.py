"""`tate-embeddings catalogue`: a list of images to files and an index, in stages that each go on where they were."""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from app import __version__
from app.catalogue.downloads import Downloaded, Policy, download, due
from app.catalogue.embedding import Model, embed
from app.catalogue.files import uncollected
from app.catalogue.indexing import index
from app.catalogue.lists import STDIN, List, read
from app.catalogue.manifest import Manifest
from app.catalogue.on_ray import OnRay
from app.catalogue.places import Places, written_by_us
from app.catalogue.progress import Progress
from app.catalogue.pruning import prune_images, prune_rows
from app.catalogue.rows import Rows, finish
from app.catalogue.runs import Run, trouble
from app.commands.catalogue_arguments import DOWNLOAD, EMBED, INDEX, RAY, RUN
from app.commands.pictures import Here, There
from app.commands.remote import RemoteService
from app.commands.rounds import Say, rounds
from app.config import Settings
from app.errors import CatalogueUnusable, ServiceError
from app.images.fetch import MAX_CONNECTIONS, Fetcher
from app.search.opening import in_folder, opened
from app.search.store import Store

try:  # with which a download takes less of the processor
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop

STAGES = {DOWNLOAD: (DOWNLOAD,), EMBED: (EMBED,), INDEX: (INDEX,), RUN: (DOWNLOAD, EMBED, INDEX)}
# Of lines that give no row so many are shown.
SHOWN_REJECTED = 10


def catalogue(settings: Settings, options: argparse.Namespace, token: str, say: Say) -> bool:
    """Take the stages that a command stands for, once or again and again; whether all went well.

    Again and again is until SIGTERM, which is nobody's failure.

    Args:
        settings: as everywhere.
        options: the command line's.
        token: for the service that is to compute, if one is.
        say: is told what each stage came to.

    Raises:
        StartError: it can't go on; what was done stays done.
    """
    if options.every is None:
        return _once(settings, options, token, say)
    if options.list == STDIN:
        raise CatalogueUnusable("standard input can be read only once: with --every the list has to be a file")
    rounds(lambda news: _once(settings, options, token, news), options.every, say)
    return True


def _once(settings: Settings, options: argparse.Namespace, token: str, say: Say) -> bool:
    places = _places(options)
    stages = tuple(stage for stage in STAGES[options.stage] if stage != options.without)
    with ExitStack() as held:
        if DOWNLOAD in stages:
            held.enter_context(written_by_us(places.manifest.parent, "manifest"))
        if stages != (DOWNLOAD,):
            held.enter_context(written_by_us(places.output, "rows"))
        run = held.enter_context(Run(options.stage, _figures(places, options.stage), options.every))
        with uncollected():
            listed = read(options.list, options.shard)
            manifest = Manifest(places.manifest)
        job = _Job(settings, options, token, say, places, listed, manifest, run)
        well = [job.list(), *(getattr(job, stage)() for stage in stages)]
        if all(well):
            run.succeeded()
    return all(well)


def status(settings: Settings, options: argparse.Namespace, say: Say) -> bool:
    """Say how a catalogue is, or how a command is that works on it; whether that is well."""
    places = _places(options)
    if options.healthy:
        wrong = trouble(options.healthy, _figures(places, options.healthy), time.time())
        say(f"{options.healthy}: {wrong or 'healthy'}")
        return wrong is None
    manifest, rows = Manifest(places.manifest), Rows.read(places.output)
    if options.list:
        listed = read(options.list, options.shard)
        say(f"list    {_many(len(listed.rows), 'row')}, {len(listed.rejected)} lines that give none")
        unknown = sum(row.url not in manifest for row in listed.rows)
        say(f"        {unknown} never asked for")
    images = Counter(entry.status for entry in manifest.values())
    size = sum(entry.bytes or 0 for entry in manifest.values())
    say(f"images  {images['ok']} ok, {images['failed']} failed, {images['dead']} dead, {size / 1e6:,.1f} MB")
    for code, count in Counter(entry.code for entry in manifest.values() if entry.code).most_common():
        say(f"        {count} {code}")
    gone = sum(row.gone_at is not None for row in rows.rows)
    say(f"rows    {len(rows.rows)} of space {rows.space}, {gone} of them gone from the list")
    say(f"        {len(rows.failures)} have no vector, or only an old one")
    for code, count in Counter(failure.code for failure in rows.failures).most_common():
        say(f"        {count} {code}")
    with _store(settings, places) as store:
        about = store.about()
        details = "".join(f", {name}: {value}" for name, value in about.details.items())
        say(f"index   {about.count} items of space {about.space}, {store.kind}{details}")
    return True


@dataclass
class _Job:
    settings: Settings
    options: argparse.Namespace
    token: str
    say: Say
    places: Places
    listed: List
    manifest: Manifest
    run: Run

    def list(self) -> bool:
        """Say what of the list can't be used."""
        rejected = self.listed.rejected
        for line in rejected[:SHOWN_REJECTED]:
            self.say(f"list: line {line.line}: {line.detail}")
        if len(rejected) > SHOWN_REJECTED:
            self.say(f"list: {len(rejected) - SHOWN_REJECTED} more lines give no row")
        repeated = f", {self.listed.repeated} lines say so again" if self.listed.repeated else ""
        self.say(f"list: {_many(len(self.listed.rows), 'row')}{repeated}")
        return not rejected

    def download(self) -> bool:
        """Fetch what is new or may have changed."""
        urls = [row.url for row in self.listed.rows]
        policy = Policy(self.options.max_age, self.options.retry_dead)
        asked = due(urls, self.manifest, self.places.images, policy, time.time())
        runner = asyncio.Runner(loop_factory=new_event_loop)
        with self._progress(DOWNLOAD) as progress, self.manifest.changing(), runner:
            done = runner.run(self._download(asked, progress))
        entries = [self.manifest[url] for url in dict.fromkeys(urls)]
        failures = Counter(str(entry.code) for entry in entries if entry.status != "ok")
        ratio = (done.new + done.unchanged) / done.count if done.count else 1.0
        note = self.run.note
        note("catalogue_download_asked", "URLs that were asked for", done.count)
        note("catalogue_download_new", "Images that are new or have changed", done.new)
        note("catalogue_download_bytes", "Bytes of images that were downloaded", done.bytes)
        note("catalogue_download_success_ratio", "Part of the URLs asked for that gave an image", ratio)
        note("catalogue_download_rate", "URLs asked for in a second", progress.rate)
        for code, count in done.failures.items():
            note("catalogue_download_failures", "URLs that gave no image", count, code=code)
        failed = _failed(failures, "have no image, or only an old one")
        self.say(
            f"download: {len(asked)} of {_many(len(entries), 'URL')} asked for, {done.new} new or changed, "
            f"{done.unchanged} unchanged, {done.bytes / 1e6:,.1f} MB; {failed}"
        )
        return not failures

    async def _download(self, urls: Sequence[str], progress: Progress) -> Downloaded:
        # Names are looked up in these threads, and one whose name server is silent keeps its thread for long.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_CONNECTIONS, "look-up"))
        fetcher = Fetcher(self.settings, user_agent=f"tate-embeddings/{__version__}")
        try:
            return await download(
                urls, self.manifest, self.places.images, fetcher, lambda done: progress(done.count, len(urls))
            )
        finally:
            await fetcher.close()

    def embed(self) -> bool:
        """Compute what has no vector."""
        with self._progress(EMBED) as progress, self._model() as model:
            done = embed(self.listed.rows, self.manifest, self.places, model, self.run.id, progress)
        note = self.run.note
        note("catalogue_embedded", "Images whose vectors were computed", done.computed)
        note("catalogue_embedding_rate", "Images whose vectors were computed in a second", progress.rate)
        note("catalogue_rows", "Rows there are", done.rows)
        note("catalogue_rows_gone", "Rows that aren't in the list any more", done.gone)
        failures = Counter(done.failures)
        if done.without_image:
            failures["no_image"] = done.without_image
        for code, count in failures.items():
            note("catalogue_embedding_failures", "Rows of the list without a vector", count, code=code)
        failed = _failed(failures, "have no vector, or only an old one")
        computed = f"{_many(done.computed, 'image')} computed"
        self.say(f"embed: {computed}, {_many(done.rows, 'row')} and {done.gone} gone from the list; {failed}")
        return not failures

    def index(self) -> bool:
        """Bring the index to what the rows say."""
        finish(self.places.output)
        rows = Rows.read(self.places.output)
        prune = self.options.prune
        with self._progress(INDEX) as progress, _store(self.settings, self.places) as store:
            done = index(rows, store, prune=prune, rebuild=self.options.rebuild, told=progress)
        if prune:
            prune_rows(rows, self.places, self.run.id)
        if prune and self.options.stage == RUN and not self.options.without:
            prune_images(
                {row.url for row in self.listed.rows}, self.manifest, Rows.read(self.places.output), self.places
            )
        self.run.note("catalogue_index_items", "Items in the index", done.count)
        self.run.note("catalogue_index_put", "Items that were put into the index", done.put)
        self.say(f"index: {done.put} put in, {done.deleted} taken out, {_many(done.count, 'item')}")
        indexed = {row.id for row in rows.rows}
        missing = sum(row.id not in indexed for row in self.listed.rows)
        return not missing

    @contextmanager
    def _model(self) -> Iterator[Model]:
        if not self.options.service:
            yield OnRay(self.settings) if self.options.runner == RAY else Here(self.settings)
            return
        with RemoteService(self.options.service, self.token, self.settings) as service:
            yield There(service)

    @contextmanager
    def _progress(self, stage: str) -> Iterator[Progress]:
        progress = Progress(stage, self.run.beat, sys.stderr if sys.stderr.isatty() else None)
        try:
            yield progress
        finally:
            progress.end()


def _places(options: argparse.Namespace) -> Places:
    return Places.of(options.dir, options.images_dir, options.output_dir, options.manifest_path)


def _figures(places: Places, command: str) -> Path:
    """Where a command leaves its figures, which is where it writes."""
    return places.manifest.parent if command == DOWNLOAD else places.output


@contextmanager
def _store(settings: Settings, places: Places) -> Iterator[Store]:
    """The index of INDEX_URL; without that, files beside the rows."""
    url = settings.index_url or in_folder(places.output)
    try:
        with closing(opened(url)) as store:
            yield store
    except ServiceError as error:
        raise CatalogueUnusable(f"INDEX_URL={urlsplit(url).scheme}:…: {error.detail}") from error


def _failed(failures: Counter[str], what: str) -> str:
    codes = ", ".join(f"{count} {code}" for code, count in failures.most_common() if count)
    return f"{failures.total()} {what} ({codes})" if failures.total() else "none failed"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
