"""What the Django app takes beyond the service: for a night of new artworks, for one without news, for a search.

The service has the bundled model, which is the quickest: the app's own part is largest there.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx

from benchmarks.conditions import Conditions
from benchmarks.image_host import image_host
from benchmarks.inputs import queries
from benchmarks.report import Figure, Section, rows
from benchmarks.service import TOKEN, Service, ours, unused_port

ROOT = Path(__file__).parents[1]
ROUNDS = 3
ARTWORKS = 2000
SIZE = (640, 480)
# As `update_embeddings` sends them by itself.
BATCH, AT_ONCE = 64, 2
SEARCHES, WARMING_UP = 300, 20
STARTING_S = 30.0
LOOK_EVERY_S = 0.02
REQUIRED_SHARE = 0.85
REQUIRED_AGAIN_S = 2.0
REQUIRED_SEARCH_MS = 30.0


def table(conditions: Conditions) -> Section:
    """A line for each figure."""
    count = conditions.count(ARTWORKS)
    bundled = replace(conditions, model="tiny-gallery", pretrained="bundled")
    with (
        tempfile.TemporaryDirectory() as folder,
        image_host(SIZE) as host,
        ours(bundled, "auto") as service,
    ):
        site = _site(Path(folder), host, service)
        _run(site, "benchmarks.museum", str(count))
        rounds = range(conditions.rounds(ROUNDS))
        alone, through = zip(*[_night(service, host, site, count) for _ in rounds], strict=True)
        again = [_run(site, "django", "update_embeddings") for _ in rounds]
        direct, viewed = _searches(service, site, conditions.count(SEARCHES))
    shares = [one / other for one, other in zip(alone, through, strict=True)]
    share, added = statistics.median(shares), statistics.median(viewed) - statistics.median(direct)
    lines = [
        [
            f"`update_embeddings`, {count:,} new artworks",
            f"{share:.0%} of the list route alone",
            ", ".join(f"{each:.0%}" for each in shares),
            f"{count / statistics.median(through):.0f}/s of {count / statistics.median(alone):.0f}/s",
        ],
        [
            "`update_embeddings` again",
            f"{statistics.median(again):.2f} s",
            ", ".join(f"{each:.2f}" for each in again),
            "",
        ],
        [
            "a page of 24 results, beyond the service",
            f"{added:.1f} ms",
            "",
            f"medians {statistics.median(viewed):.1f} and {statistics.median(direct):.1f} ms, "
            f"95 % within {_within(viewed):.1f} and {_within(direct):.1f} ms",
        ],
    ]
    text = (
        "## What the Django app takes\n\n"
        "A site on SQLite, and a service of the bundled model that remembers nothing. "
        f"{count:,} JPEGs of {SIZE[0]} x {SIZE[1]} are on loopback; their URLs go to `/embed/image`, {BATCH} in a "
        f"request and {AT_ONCE} requests at once, by a bare client and by `update_embeddings --force`, in turn. "
        "Times of the command are of its whole process. Searches are of queries that weren't there before: "
        "the page by `runserver`, and `/embed-text`, in turn.\n\n" + rows(["what", "median", "rounds", "also"], lines)
    )
    return Section(
        text,
        [
            Figure.at_least("Django: share of the list route's rate", share, REQUIRED_SHARE, form="{:.0%}"),
            Figure.at_most("Django: a night without news", statistics.median(again), REQUIRED_AGAIN_S, form="{:.2f} s"),
            Figure.at_most("Django: a search page beyond the service", added, REQUIRED_SEARCH_MS, form="{:.1f} ms"),
        ],
    )


def _site(folder: Path, host: str, service: Service) -> Mapping[str, str]:
    """The environment of the site's processes."""
    paths = (ROOT, ROOT / "clients" / "django", ROOT / "clients" / "python")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "DJANGO_SETTINGS_MODULE": "benchmarks.museum.settings",
        "MUSEUM_DATABASE": str(folder / "museum.sqlite3"),
        "MUSEUM_IMAGES": f"{host}/",
        "EMBEDDINGS_SERVICE_URL": f"http://127.0.0.1:{service.port}",
        "EMBEDDINGS_SERVICE_TOKEN": TOKEN,
    }


def _night(service: Service, host: str, site: Mapping[str, str], count: int) -> tuple[float, float]:
    """The seconds that the list route takes for all artworks, and that the command takes with it."""
    addresses = [f"{host}/{number}.jpg" for number in range(count)]

    def embed(urls: Sequence[str]) -> None:
        assert not service.client.post("/embed/image", json={"urls": urls}).raise_for_status().json()["failed"]

    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(embed, [addresses[begin : begin + BATCH] for begin in range(0, count, BATCH)]))
    return time.perf_counter() - started, _run(site, "django", "update_embeddings", "--force")


def _run(site: Mapping[str, str], module: str, *words: str) -> float:
    """The seconds of a process of the site's."""
    started = time.perf_counter()
    ended = subprocess.run([sys.executable, "-m", module, *words], env=site, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"`{module} {' '.join(words)}` failed: {ended.stdout}{ended.stderr}")
    return time.perf_counter() - started


def _searches(service: Service, site: Mapping[str, str], count: int) -> tuple[list[float], list[float]]:
    """How many milliseconds queries take by the service alone, and others by the page."""
    new = queries()
    direct, viewed = [], []
    with _page(site) as page:
        for _ in range(count + WARMING_UP):
            started = time.perf_counter()
            service.client.post("/embed-text", json={"query": next(new)}).raise_for_status()
            between = time.perf_counter()
            assert "<figure>" in page.get("/", params={"q": next(new)}).raise_for_status().text
            direct.append((between - started) * 1000)
            viewed.append((time.perf_counter() - between) * 1000)
    return direct[WARMING_UP:], viewed[WARMING_UP:]


@contextmanager
def _page(site: Mapping[str, str]) -> Iterator[httpx.Client]:
    """The site, served."""
    port = unused_port()
    command = [sys.executable, "-m", "django", "runserver", "--noreload", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, env=site, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=STARTING_S) as client:
            deadline = time.monotonic() + STARTING_S
            while time.monotonic() < deadline and process.poll() is None:
                with suppress(httpx.TransportError):
                    client.get("/")
                    break
                time.sleep(LOOK_EVERY_S)
            yield client
    finally:
        process.terminate()
        process.wait()


def _within(times: Sequence[float]) -> float:
    """What all but a twentieth don't exceed."""
    return sorted(times)[len(times) * 95 // 100]
