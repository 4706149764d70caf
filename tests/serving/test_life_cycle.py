"""How a service of real processes goes on when something ends: itself, a worker, or what a worker stands on."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.conftest import AUTHORIZED
from tests.images.hosts import Host, content
from tests.serving.conftest import Service, Start
from tests.test_endpoints import as_png, painting

pytestmark = pytest.mark.slow

ONE = ["app.cli", "serve", "--workers", "1"]
TWO = ["app.cli", "serve", "--workers", "2"]
TROUBLED = ["tests.serving.troubled", "--workers", "1"]
PATIENCE_S = 30
# How long a stop may take if there is nothing to finish.
IDLE_STOP_S = 5


class SlowHost(Host):
    """An image host that lets its callers wait until a test says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_for_slow = threading.Event()
        self.go_on = threading.Event()
        self.answers["/slow"] = self._slow

    def _slow(self, request: BaseHTTPRequestHandler) -> None:
        self.asked_for_slow.set()
        self.go_on.wait(PATIENCE_S)
        content(as_png(painting()))(request)


@pytest.fixture
def host() -> Iterator[SlowHost]:
    host = SlowHost()
    try:
        yield host
    finally:
        host.go_on.set()
        host.close()


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Where requests wait for their answers while the test goes on."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


def ask(service: Service, text: str = "a stormy sea") -> httpx.Response:
    """Over a connection of its own."""
    address = str(service.client.base_url.join("/embed-text"))
    return httpx.post(address, json={"query": text}, headers=AUTHORIZED, timeout=PATIENCE_S)


def health(service: Service) -> httpx.Response:
    return httpx.get(str(service.client.base_url.join("/health")), timeout=PATIENCE_S)


def begin_slow_work(service: Service, host: SlowHost, elsewhere: ThreadPoolExecutor) -> "Future[httpx.Response]":
    """Ask for what takes until the host goes on."""
    address = str(service.client.base_url.join("/embed-image"))
    body = {"url": host.url("/slow")}
    answer = elsewhere.submit(httpx.post, address, json=body, headers=AUTHORIZED, timeout=PATIENCE_S)
    assert host.asked_for_slow.wait(PATIENCE_S)
    return answer


def test_an_idle_service_stops_within_seconds(start: Start) -> None:
    with start(TWO) as service:
        service.process.send_signal(signal.SIGTERM)

        assert service.process.wait(IDLE_STOP_S) == 0


def test_a_service_that_stops_finishes_old_work_and_refuses_new(
    start: Start, host: SlowHost, elsewhere: ThreadPoolExecutor
) -> None:
    with start(ONE, ALLOW_PRIVATE_NETWORKS="true") as service:
        old = begin_slow_work(service, host, elsewhere)
        service.process.send_signal(signal.SIGTERM)
        service.until(lambda: health(service).status_code == 503)
        seen, new = health(service), ask(service)
        host.go_on.set()

        assert old.result(PATIENCE_S).status_code == 200
        assert service.process.wait(PATIENCE_S) == 0

    assert seen.json()["status"] == "draining"
    assert (new.status_code, new.json()["code"]) == (503, "not_ready")
    assert int(new.headers["Retry-After"]) > 0
    assert new.headers["Connection"] == "close"


def test_what_is_not_finished_within_the_grace_time_is_told_so(
    start: Start, host: SlowHost, elsewhere: ThreadPoolExecutor
) -> None:
    with start(ONE, ALLOW_PRIVATE_NETWORKS="true", GRACE_S="0.5") as service:
        old = begin_slow_work(service, host, elsewhere)
        service.process.send_signal(signal.SIGTERM)

        answer = old.result(PATIENCE_S)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert service.process.wait(PATIENCE_S) == 0


def test_workers_are_replaced_without_a_failed_request(start: Start, elsewhere: ThreadPoolExecutor) -> None:
    replaced = threading.Event()

    def keep_asking(name: int, *, connected: bool) -> list[int]:
        """Ask until all is over, and some times more; over one connection as long as the service keeps it, or not."""
        statuses = []
        after = count()
        with httpx.Client(base_url=service.client.base_url, headers=AUTHORIZED, timeout=PATIENCE_S) as client:
            for number in count():
                headers = {} if connected else {"Connection": "close"}
                query = {"query": f"{name}: {number}"}
                statuses.append(client.post("/embed-text", json=query, headers=headers).status_code)
                if replaced.is_set() and next(after) == 3:
                    return statuses
        raise AssertionError

    with start(TWO) as service:
        before = set(service.children())
        asking = [elsewhere.submit(keep_asking, name, connected=name < 4) for name in range(8)]
        service.process.send_signal(signal.SIGHUP)
        try:
            service.until(lambda: len(service.children()) == 2 and before.isdisjoint(service.children()))
        finally:
            replaced.set()
        statuses = [status for answers in asking for status in answers.result(PATIENCE_S)]

    assert len(statuses) > 100
    assert set(statuses) == {200}


def test_after_a_worker_is_killed_requests_wait_for_the_next_one(start: Start) -> None:
    with start(ONE) as service:
        (before,) = service.children()
        os.kill(before, signal.SIGKILL)

        assert [ask(service).status_code, health(service).status_code] == [200, 200]
        assert before not in service.children()


def test_a_worker_whose_engine_hangs_says_so_and_is_replaced(
    start: Start, tmp_path: Path, elsewhere: ThreadPoolExecutor
) -> None:
    with start(TROUBLED, INFERENCE_TIMEOUT_S="1") as service:
        (before,) = service.children()
        (tmp_path / "hang").touch()
        hung = ask(service, "this one hangs")
        state = health(service)
        service.until(lambda: service.children() not in ([], [before]) and service.is_healthy())

        assert (hung.status_code, hung.json()["code"]) == (503, "not_ready")
        assert (state.status_code, state.json()["status"]) == (503, "unhealthy")
        assert ask(service, "this one doesn't").status_code == 200
    assert "the engine hangs" in service.log.read_text()


def test_health_turns_when_the_engine_breaks_and_when_it_works_again(start: Start, tmp_path: Path) -> None:
    with start(TROUBLED) as service:
        trouble = tmp_path / "broken"
        trouble.touch()
        broken = ask(service)
        states = [health(service).status_code, health(service).json()["status"]]
        trouble.unlink()
        service.until(service.is_healthy)

        assert (broken.status_code, broken.json()["code"]) == (500, "internal")
        assert states == [503, "unhealthy"]
        assert ask(service).status_code == 200


def test_a_worker_that_has_grown_is_replaced_without_a_failed_request(start: Start) -> None:
    with start(ONE, MAX_MEMORY_GROWTH="1") as service:
        before = service.children()
        answers: list[int] = []

        def replaced() -> bool:
            answers.append(ask(service, f"text {len(answers)}").status_code)
            return set(before).isdisjoint(service.children())

        service.until(replaced)

    assert set(answers) == {200}
    assert "has grown" in service.log.read_text()


def numbers(service: Service) -> dict[str, float]:
    """What all workers have counted together."""
    page = service.client.get("/metrics", headers=AUTHORIZED).text
    found = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in found}


def test_numbers_are_those_of_all_workers_and_outlive_them(start: Start) -> None:
    answered = 'embeddings_requests_total{code="",route="/embed-text",status="200"}'

    with start(TWO) as service:
        service.until(lambda: ready(numbers(service)) == 2)
        for text in range(20):
            assert ask(service, f"text {text}").status_code == 200
        service.until(lambda: numbers(service).get(answered) == 20)  # they are counted after the answer
        before = numbers(service)
        os.kill(service.children()[0], signal.SIGKILL)
        service.until(lambda: sum(starts(numbers(service))) == 3)
        service.until(lambda: ready(numbers(service)) == 2)
        assert ask(service, "one more").status_code == 200
        service.until(lambda: numbers(service)[answered] != before[answered])
        after = numbers(service)
        (folder,) = {Path(file).parent for file in files_of(service.children()[0]) if file.endswith(".db")}

    assert (before[answered], after[answered]) == (20, 21)
    assert starts(before) == [1, 1]
    assert sorted(starts(after)) == [1, 2]
    assert not folder.exists()


def files_of(process: int) -> list[str]:
    """The files that a process has mapped."""
    lines = Path(f"/proc/{process}/maps").read_text().splitlines()
    return [fields[5] for fields in (line.split(maxsplit=5) for line in lines) if len(fields) > 5]


def ready(numbers: dict[str, float]) -> float:
    """How many workers can embed."""
    return sum(value for name, value in numbers.items() if name.startswith("embeddings_worker_ready"))


def starts(numbers: dict[str, float]) -> list[float]:
    """How often each worker was started."""
    return [value for name, value in numbers.items() if name.startswith("embeddings_worker_starts_total")]


def test_workers_end_when_the_process_that_started_them_is_killed(start: Start) -> None:
    with start(TWO) as service:
        workers = service.children()
        service.process.kill()
        service.until(lambda: not any(is_alive(worker) for worker in workers))

    assert len(workers) == 2


def is_alive(number: int) -> bool:
    """Whether a process runs; one that only waits to be reaped doesn't."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
