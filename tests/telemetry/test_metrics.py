"""What Prometheus gets to see: right over workers that come and go, and moved by what it is named after."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from app.errors import DecodeTimeout, ImageCorrupt, ImageUnusable, NotAnImage, ServiceError
from app.images.decoders import KILLS
from app.serving.cache import Cache
from app.serving.scheduler import Batching, Scheduler
from app.telemetry import metrics
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.images import harm
from tests.images.conftest import fetch
from tests.images.harm import Pixels
from tests.images.hosts import Host, redirect
from tests.images.test_decoders import PICTURE, door, finished, guest, running
from tests.serving.clock import run, settle

# A worker: shares its numbers, counts what it is told to on standard input, and says when it has.
WORKER = """
import sys
from pathlib import Path
from app.telemetry import metrics

place = int(sys.argv[2])
metrics.share(Path(sys.argv[1]), place)
metrics.worker_started(place)
metrics.worker_ready(True)
metrics.worker_memory(1000 + place)
metrics.served(model="m", pretrained="p", space="s", engine="e", precision="f", device="d")
metrics.waiting("texts", 5)
print("sharing", flush=True)
for line in sys.stdin:
    if line.strip() == "page":
        print(metrics.page().decode().replace("\\n", "\\f"), flush=True)
    else:
        for _ in range(int(line)):
            metrics.answered("/embed-text", 200, None, 0.02)
        print("counted", flush=True)
"""


class Worker:
    """A process of its own that shares its numbers under a place."""

    def __init__(self, folder: Path, place: int) -> None:
        self.folder, self.place = folder, place
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def started(self) -> "Worker":
        assert self._said() == "sharing"
        return self

    def count(self, requests: int) -> None:
        self._tell(str(requests))
        assert self._said() == "counted"

    def page(self) -> dict[str, float]:
        """The samples that this worker shows, by the names and labels that they are written with."""
        self._tell("page")
        return samples(self._said().replace("\f", "\n"))

    def end(self, signalled: signal.Signals) -> None:
        """End it, and do what is to be done then."""
        self.stop(signalled)
        metrics.forget(self.folder, self.place)

    def stop(self, signalled: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(signalled)
        self._process.communicate()

    def _tell(self, what: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()

    def _said(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().rstrip("\n")


Start = Callable[[int], Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers that share one folder."""
    workers: list[Worker] = []

    def start(place: int) -> Worker:
        workers.append(Worker(tmp_path, place))
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop()


def samples(page: str) -> dict[str, float]:
    return {
        f"{sample.name}{''.join(f' {name}={value}' for name, value in sorted(sample.labels.items()))}": sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


REQUESTS = "embeddings_requests_total code= route=/embed-text status=200"
SECONDS = "embeddings_request_seconds_count route=/embed-text"


@pytest.mark.slow
def test_every_worker_shows_what_all_have_counted(start: Start) -> None:
    first, second, third = (worker.started() for worker in [start(0), start(1), start(2)])
    for worker, count in ((first, 3), (second, 40), (third, 500)):
        worker.count(count)

    shown = second.page()

    assert first.page() == shown == third.page()
    assert (shown[REQUESTS], shown[SECONDS]) == (543, 543)
    assert shown["embeddings_request_seconds_bucket le=0.02 route=/embed-text"] == 543
    assert shown["embeddings_waiting_items queue=texts"] == 15
    assert [shown[f"embeddings_worker_memory_bytes worker={place}"] for place in range(3)] == [1000, 1001, 1002]
    assert shown["embeddings_model_info device=d engine=e model=m precision=f pretrained=p space=s"] == 1


@pytest.mark.slow
def test_what_a_worker_counted_outlives_it_and_what_it_held_does_not(start: Start) -> None:
    watching, ended, killed = (worker.started() for worker in [start(0), start(1), start(2)])
    ended.count(20)
    killed.count(300)
    ended.end(signal.SIGTERM)
    killed.end(signal.SIGKILL)
    watching.count(1)

    shown = watching.page()

    assert shown[REQUESTS] == 321
    assert shown["embeddings_waiting_items queue=texts"] == 5
    assert [name for name in shown if name.startswith("embeddings_worker_ready")] == [
        "embeddings_worker_ready worker=0"
    ]
    assert shown["embeddings_worker_starts_total worker=2"] == 1


@pytest.mark.slow
def test_a_new_worker_goes_on_where_the_last_one_in_its_place_has_ended(start: Start) -> None:
    start(0).started().count(7)
    killed = start(1).started()
    killed.count(20)
    killed.stop(signal.SIGKILL)  # and nobody has noticed
    new = start(1).started()
    new.count(300)

    shown = new.page()

    assert shown[REQUESTS] == 327
    assert shown["embeddings_waiting_items queue=texts"] == 10
    assert shown["embeddings_worker_starts_total worker=1"] == 2


@pytest.mark.slow
def test_files_grow_no_more_however_many_workers_come_and_go(start: Start, tmp_path: Path) -> None:
    def files() -> dict[str, int]:
        return {file.name: file.stat().st_size for file in tmp_path.iterdir()}

    first = start(0).started()
    first.count(1)
    before = files()
    first.end(signal.SIGKILL)
    for _ in range(20):
        worker = start(0).started()
        worker.count(1)
        worker.end(signal.SIGKILL)
    last = start(0).started()
    last.count(1)

    assert files() == before
    assert last.page()[REQUESTS] == 22


def counted(name: str, **labels: str) -> float:
    """What a metric has come to in this process."""
    return metrics.REGISTRY.get_sample_value(name, labels) or 0


def added(name: str, work: Callable[[], None], **labels: str) -> float:
    """What some work adds to a metric of this process."""
    before = counted(name, **labels)
    work()
    return counted(name, **labels) - before


async def double(items: list[int]) -> list[int]:
    await asyncio.sleep(1)
    return [2 * item for item in items]


def test_a_lone_process_shows_its_own_numbers() -> None:
    metrics.answered("/lone", 200, None, 0.5)

    assert samples(metrics.page().decode())["embeddings_requests_total code= route=/lone status=200"] == 1


def test_what_callers_make_up_is_one_route() -> None:
    def work() -> None:
        metrics.answered(None, 404, "not_found", 0.001)

    assert added("embeddings_requests_total", work, route="other", status="404", code="not_found") == 1


def test_a_batch_counts_its_items_their_waits_and_its_own_time() -> None:
    queue = "of-a-batch"

    async def scene() -> None:
        scheduler = Scheduler(double, Batching[int](items=4, total=4), queue=queue, most_waiting=9)
        await asyncio.gather(*(scheduler.submit(item, 2) for item in range(6)))

    run(scene())

    assert counted("embeddings_batch_items_count", queue=queue) == 2
    assert counted("embeddings_batch_items_sum", queue=queue) == 6
    assert counted("embeddings_infer_seconds_sum", queue=queue) == pytest.approx(2, abs=0.01)
    assert counted("embeddings_queue_seconds_count", queue=queue) == 6
    assert counted("embeddings_queue_seconds_sum", queue=queue) == pytest.approx(2, abs=0.01)


def test_what_waits_is_seen_until_its_turn_comes_or_it_is_given_up() -> None:
    seen: list[float] = []
    queue = "of-a-crowd"

    async def scene() -> None:
        scheduler = Scheduler(double, Batching[int](), queue=queue, most_waiting=9)
        first, second, third = (asyncio.create_task(scheduler.submit(item, 2)) for item in range(3))
        await settle()
        seen.append(counted("embeddings_waiting_items", queue=queue))
        third.cancel()
        await settle()
        seen.append(counted("embeddings_waiting_items", queue=queue))
        await asyncio.gather(first, second)
        seen.append(counted("embeddings_waiting_items", queue=queue))

    run(scene())

    assert seen == [2, 1, 0]


def test_a_lookup_is_a_miss_then_joined_then_a_hit() -> None:
    async def value() -> int:
        await asyncio.sleep(1)
        return 1

    async def scene() -> None:
        cache = Cache[int](9, "of-lookups")
        await asyncio.gather(cache.get(b"a", 2, value), cache.get(b"a", 2, value))
        assert cache.recall(b"a") == await cache.get(b"a", 2, value) == 1
        assert cache.recall(b"b") is None

    run(scene())

    found = {
        outcome: counted("embeddings_cache_lookups_total", kind="of-lookups", outcome=outcome)
        for outcome in ("miss", "joined", "hit")
    }
    assert found == {"miss": 1, "joined": 1, "hit": 2}


def test_a_fetch_counts_under_what_came_of_it() -> None:
    with closing(Host()) as host:
        host.answers["/circle.png"] = redirect(host.url("/circle.png"))

        def circle() -> None:
            with pytest.raises(ImageUnusable):
                fetch(host.url("/circle.png"))

        assert added("embeddings_fetch_seconds_count", circle, outcome="image_unusable") == 1


@pytest.mark.parametrize(
    ("harmful", "kind", "reason"),
    [(harm.hang, DecodeTimeout, "timeout"), (harm.crash, ImageCorrupt, "crash")],
)
def test_a_decoder_that_does_not_get_to_the_end_of_an_image_is_a_kill(
    harmful: Callable[[Image.Image], Pixels], kind: type[ServiceError], reason: str
) -> None:
    async def look() -> None:
        async with running(decode_timeout_s=0.5) as decoders:
            with pytest.raises(kind):
                await decoders.look(PICTURE, harmful)

    def work() -> None:
        assert added("embeddings_decode_seconds_count", lambda: finished(look()), outcome=kind.code) == 1

    assert added("embeddings_decoder_kills_total", work, reason=reason) == 1


def test_a_decoder_is_killed_with_the_work_that_nobody_waits_for_any_more() -> None:
    async def give_up() -> None:
        async with running() as decoders:
            with door() as (server, visit):
                looking = asyncio.create_task(decoders.look(PICTURE, visit))
                with await guest(server):
                    looking.cancel()
                    await asyncio.wait([looking])

    assert added("embeddings_decoder_kills_total", lambda: finished(give_up()), reason="cancelled") == 1


def test_an_image_that_is_decoded_or_refused_is_no_kill() -> None:
    async def look() -> None:
        async with running() as decoders:
            await decoders.look(PICTURE, harm.nothing)
            with pytest.raises(NotAnImage):
                await decoders.look(b"hello", harm.nothing)

    def work() -> None:
        assert added("embeddings_decode_seconds_count", lambda: finished(look()), outcome="not_an_image") == 1

    def kills() -> float:
        return sum(counted("embeddings_decoder_kills_total", reason=reason) for reason in KILLS.values())

    before = kills()
    assert added("embeddings_decode_seconds_count", work, outcome="ok") == 1
    assert kills() == before
