"""How many workers there are, what each of them gets, and a service of real processes."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from app.config import MIB, Settings
from app.embeddings import EmbeddingModel
from app.embeddings.engines.choice import Choice
from app.embeddings.prepared import Prepared
from app.serving import processes
from app.serving.processes import Processes, count

from tests.conftest import AUTHORIZED, TOKEN, MakeSettings

CPU = Choice("openvino", "cpu")
GIB = 2**30


@pytest.mark.parametrize(
    ("cores", "memory", "expected"),
    [(1, 64 * GIB, 1), (2, 64 * GIB, 1), (4, 64 * GIB, 2), (8, 64 * GIB, 4), (64, 64 * GIB, 4), (64, 3 * GIB, 2),
     (64, GIB, 1)],
)  # fmt: skip
def test_workers_are_counted_by_cores_and_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, memory: int, expected: int
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: cores)
    monkeypatch.setattr(processes, "memory", lambda: memory)

    assert count(Settings.load(), CPU) == expected


@pytest.mark.parametrize(
    ("weights", "memory", "expected"),
    [(0, 64 * GIB, 4), (605_000_000, 3_000_000_000, 2), (2_700_000_000, 16_000_000_000, 4),
     (2_700_000_000, 8_000_000_000, 2), (2_700_000_000, 3_000_000_000, 1)],
)  # fmt: skip
def test_a_large_model_has_as_few_workers_as_memory_carries(
    monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings, model: EmbeddingModel, tmp_path: Path,
    weights: int, memory: int, expected: int,
) -> None:  # fmt: skip
    for name, size in {"text.bin": weights - weights // 3, "image.bin": weights // 3}.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    monkeypatch.setattr(processes, "find", lambda *_, **__: Prepared(tmp_path, model.manifest))
    monkeypatch.setattr(processes, "cores", lambda: 8)
    monkeypatch.setattr(processes, "memory", lambda: memory)

    assert count(make_settings(), CPU) == expected


def test_there_is_a_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "gpus", lambda: 3)

    assert count(Settings.load(), Choice("torch", "cuda")) == 3


def test_a_number_of_workers_that_was_asked_for_is_taken() -> None:
    assert count(Settings.load(workers="7"), CPU) == 7


@pytest.mark.parametrize(("taken", "expected"), [([], 0), ([0], 1), ([0, 1, 2], 3), ([1, 2], 0), ([0, 2], 1)])
def test_a_new_worker_takes_the_first_free_place(taken: list[int], expected: int) -> None:
    arbiter = SimpleNamespace(WORKERS={number: SimpleNamespace(place=place) for number, place in enumerate(taken)})
    worker = SimpleNamespace()

    processes._take_place(arbiter, worker)

    assert worker.place == expected


@pytest.mark.parametrize(("workers", "expected"), [(1, 8), (3, 2), (20, 1)])
def test_threads_are_divided_among_the_workers(monkeypatch: pytest.MonkeyPatch, workers: int, expected: int) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 8)
    made: list[tuple[int, int]] = []
    service = Processes(Settings.load(), workers, lambda place, threads: made.append((place, threads)))
    service._remember_place(None, SimpleNamespace(place=workers - 1))

    service.load()

    assert made == [(workers - 1, expected)]


@pytest.mark.parametrize(("host", "expected"), [("0.0.0.0", "0.0.0.0:8000"), ("::1", "[::1]:8000")])
def test_the_address_is_the_one_of_the_settings(host: str, expected: str) -> None:
    service = Processes(Settings.load(host=host), 1, lambda *_: None)

    assert service.cfg.settings["bind"].value == [expected]


@dataclass(frozen=True)
class Service:
    """A service in processes of its own."""

    process: "subprocess.Popen[bytes]"
    client: httpx.Client
    log: Path

    def until(self, condition: Callable[[], bool]) -> None:
        """Ask again until something is so; a failure to connect counts as not yet."""
        deadline = time.monotonic() + 60
        pace = threading.Event()
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if condition():
                    return
            pace.wait(0.02)
        raise AssertionError(self.log.read_text())

    def is_healthy(self) -> bool:
        return self.client.get("/health").status_code == 200

    def children(self) -> list[int]:
        number = self.process.pid
        return [int(child) for child in Path(f"/proc/{number}/task/{number}/children").read_text().split()]


Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def start(model: EmbeddingModel, small: str, cache: Path, tmp_path: Path, free_port: int) -> Start:
    """Starts a service on the small model, which `model` has prepared, and waits until it is ready."""

    @contextmanager
    def start(command: list[str], **changes: str) -> Iterator[Service]:
        environment = {
            "AUTH_TOKEN": TOKEN,
            "HOST": "127.0.0.1",
            "PORT": str(free_port),
            "MODEL_NAME": small,
            "PRETRAINED": model.manifest.pretrained,
            "MODEL_CACHE_DIR": str(cache),
            "PRECISION": "float32",
        }
        log = tmp_path / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**os.environ, **environment, **changes},
                cwd=tmp_path,  # where no .env lies
                stderr=stream,
            )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{free_port}", timeout=10) as client:
                service = Service(process, client, log)
                service.until(service.is_healthy)
                yield service
        finally:
            process.terminate()
            process.wait(40)

    return start


@pytest.mark.slow
def test_an_arbiter_that_is_interrupted_alone_ends_its_workers_at_once(start: Start) -> None:
    with start(["app.cli", "serve", "--workers", "2"]) as service:
        service.process.send_signal(signal.SIGINT)
        status = service.process.wait(10)  # where gunicorn would wait half a minute and kill them

    assert status == 0


@pytest.mark.slow
@pytest.mark.parametrize("server", ["serve", "uvicorn"])
def test_a_service_of_real_processes_answers_and_stops_when_told(
    start: Start, model: EmbeddingModel, free_port: int, server: str
) -> None:
    command = {
        "serve": ["app.cli", "serve", "--workers", "2"],
        "uvicorn": ["uvicorn", "app.main:app", "--host", "127.0.0.1", "--port", str(free_port)],
    }

    with start(command[server]) as service:
        answer = service.client.post("/embed-text", json={"query": "a stormy sea"}, headers=AUTHORIZED)
        service.process.send_signal(signal.SIGTERM)
        status = service.process.wait(40)

    log = service.log.read_text()
    assert answer.status_code == 200
    assert answer.json()["embedding"] == pytest.approx(model.embed_texts(["a stormy sea"])[0].tolist(), abs=1e-6)
    assert status == (0 if server == "serve" else -signal.SIGTERM)  # uvicorn passes the signal on to itself at last
    assert "Traceback" not in log
    assert TOKEN not in log
    assert "a stormy sea" not in log


@pytest.mark.slow
def test_a_huge_header_of_any_bytes_is_refused_in_the_usual_form(start: Start) -> None:
    with start(["app.cli", "serve", "--workers", "1"]) as service:
        answer = service.client.post("/embed-text", headers={b"Authorization": b"Bearer " + b"\xff" * 2**20})

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.slow
def test_a_header_without_end_ends_its_connection_and_nothing_else(start: Start, free_port: int) -> None:
    with start(["app.cli", "serve", "--workers", "1"]) as service:
        with socket.create_connection(("127.0.0.1", free_port), 20) as connection, suppress(ConnectionError):
            connection.sendall(b"POST /embed-text HTTP/1.1\r\nX-A: " + b"a" * 16 * MIB)
            while connection.recv(65536):
                pass
        healthy = service.is_healthy()

    assert healthy
    assert "Traceback" not in service.log.read_text()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(start: Start) -> None:
    with start(["app.cli", "serve", "--workers", "1"]) as service:
        before = service.children()
        os.kill(before[0], signal.SIGKILL)
        service.until(lambda: service.children() not in ([], before) and service.is_healthy())


@pytest.mark.slow
def test_workers_end_when_the_process_that_started_them_is_killed(start: Start) -> None:
    with start(["app.cli", "serve", "--workers", "2"]) as service:
        workers = service.children()
        service.process.kill()
        service.until(lambda: not any(_is_alive(worker) for worker in workers))

    assert len(workers) == 2


def _is_alive(number: int) -> bool:
    """Whether a process runs; one that only waits to be reaped doesn't."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
