"""Images from their hosts to a folder: politely, through the one fetcher, and only what may have changed.

What comes of a URL stands in the manifest before its host is asked for another, so that a run that is killed goes on
where it was.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from anyio.to_thread import run_sync

from app.catalogue.images import is_kept, keep
from app.catalogue.manifest import Entry, Manifest, Status
from app.errors import ImageError, ImageHostFailed, ImageHostTimeout, Internal, InvalidRequest, ServiceError, TooLarge
from app.images.fetch import MAX_CONNECTIONS, MAX_CONNECTIONS_PER_HOST, Fetched, Fetcher, Validators
from app.serving.embedder import gathered

logger = logging.getLogger(__name__)

# A host that has failed so often in a row is left alone for a while, then tried once, and then given up for this run.
FAILURES_IN_A_ROW = 5
REST_S = 10.0
GIVEN_UP = "host_given_up", "The image's host failed too often."

# What won't come another time, unless somebody does something about it.
PERMANENT = (ImageError, InvalidRequest, TooLarge)
# The host's own failures: what it says of one image isn't.
OF_HOSTS = (ImageHostFailed, ImageHostTimeout)


rest = asyncio.sleep


@dataclass(frozen=True)
class Policy:
    """Which URLs are asked again: those that were last asked so long ago, dead ones before that if it is wanted."""

    max_age_s: float
    retry_dead: bool = False


@dataclass
class Downloaded:
    """What came of the URLs that were asked: images new or changed and their bytes, and failures by their code."""

    new: int = 0
    unchanged: int = 0
    bytes: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many URLs there were."""
        return self.new + self.unchanged + self.failures.total()


def due(urls: Iterable[str], manifest: Manifest, images: Path, policy: Policy, now: float) -> list[str]:
    """The URLs that are to be asked now, each once."""
    return [url for url in dict.fromkeys(urls) if _is_due(manifest.get(url), images, policy, now)]


async def download(
    urls: Collection[str],
    manifest: Manifest,
    images: Path,
    fetcher: Fetcher,
    told: Callable[[Downloaded], None] = lambda _: None,
) -> Downloaded:
    """Ask for all of some URLs, and put what comes of each into the manifest.

    Args:
        urls: which, each once.
        manifest: is being changed.
        images: where images are kept.
        fetcher: asks.
        told: is told at first, and after each URL, what came of them so far.

    Raises:
        OSError: an image or the manifest can't be written.
    """
    hosts: dict[str, deque[str]] = {}
    for url in urls:
        hosts.setdefault(_host(url), deque()).append(url)
    run = _Run(manifest, images, fetcher, told)
    told(run.done)
    await gathered(run.ask_host(waiting) for waiting in hosts.values())
    return run.done


class _Run:
    def __init__(self, manifest: Manifest, images: Path, fetcher: Fetcher, told: Callable[[Downloaded], None]) -> None:
        self._manifest = manifest
        self._images = images
        self._fetcher = fetcher
        self._told = told
        # Whoever waits for a turn waits here, and not in the fetcher, whose deadline would run meanwhile.
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self.done = Downloaded()

    async def ask_host(self, urls: deque[str]) -> None:
        """Ask for a host's images, a few at once, unless it fails again and again."""
        failures = 0

        async def ask_some() -> None:
            nonlocal failures
            while urls and failures < FAILURES_IN_A_ROW:
                async with self._turns:
                    if urls and failures < FAILURES_IN_A_ROW:
                        failures = 0 if await self._ask(urls.popleft()) else failures + 1

        while urls:
            await gathered(ask_some() for _ in range(min(MAX_CONNECTIONS_PER_HOST, len(urls))))
            if urls:
                await rest(REST_S)
                failures = FAILURES_IN_A_ROW - 1
                if not await self._ask(urls.popleft()):
                    self._give_up(urls)

    async def _ask(self, url: str) -> bool:
        """Ask for one; whether its host worked."""
        before = self._manifest.get(url) or Entry(url, "failed", 0)
        tries = 0

        def trying() -> None:
            nonlocal tries
            tries += 1

        begun = time.perf_counter()

        def asked() -> Entry:
            took_ms = round((time.perf_counter() - begun) * 1000, 1)
            return before._replace(checked_at=_now(), attempts=tries, latency_ms=took_ms, code=None, detail=None)

        try:
            got = await self._fetcher.get(url, known=_known(before, self._images), trying=trying)
        except ServiceError as error:
            self._failed(asked(), error.code, error.detail, dead=isinstance(error, PERMANENT))
            return not isinstance(error, OF_HOSTS)
        except Exception:
            logger.exception("a defect")
            self._failed(asked(), Internal.code, Internal().detail)
            return True
        await self._succeeded(asked(), got)
        return True

    async def _succeeded(self, asked: Entry, got: Fetched) -> None:
        entry = asked._replace(status="ok", failures=0)
        if got.data is not None:
            digest, path = await run_sync(keep, self._images, got.data)
            self.done.bytes += len(got.data)
            entry = entry._replace(
                sha256=digest,
                path=path,
                bytes=len(got.data),
                content_type=got.content_type,
                etag=got.validators.etag,
                last_modified=got.validators.last_modified,
                downloaded_at=entry.checked_at,
            )
        if entry.sha256 == asked.sha256:
            self.done.unchanged += 1
        else:
            self.done.new += 1
        self._put(entry)

    def _failed(self, asked: Entry, code: str, detail: str, *, dead: bool = False) -> None:
        self.done.failures[code] += 1
        status: Status = "dead" if dead else "failed"
        self._put(asked._replace(status=status, code=code, detail=detail, failures=asked.failures + 1))

    def _give_up(self, urls: deque[str]) -> None:
        logger.warning("a host fails, and %d of its images aren't asked for any more", len(urls))
        while urls:
            url = urls.popleft()
            before = self._manifest.get(url) or Entry(url, "failed", 0)
            self._failed(before._replace(checked_at=_now(), attempts=0, latency_ms=None), *GIVEN_UP)

    def _put(self, entry: Entry) -> None:
        self._manifest.put(entry)
        self._told(self.done)


def _is_due(entry: Entry | None, images: Path, policy: Policy, now: float) -> bool:
    if entry is None or entry.status == "failed":
        return True
    if entry.status == "dead" and policy.retry_dead:
        return True
    if now - entry.checked_at > policy.max_age_s:
        return True
    return entry.status == "ok" and not is_kept(images, entry.path, entry.bytes)


def _known(before: Entry, images: Path) -> Validators | None:
    """Which version of an image is here, if it is."""
    return Validators(before.etag, before.last_modified) if is_kept(images, before.path, before.bytes) else None


def _host(url: str) -> str:
    """Whom a URL asks; what is no URL asks nobody."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _now() -> float:
    return round(time.time(), 3)
