"""How many workers there are, what each of them gets, and a service of real processes."""

import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from app.config import MIB, Settings
from app.embeddings import EmbeddingModel
from app.embeddings.engines.choice import Choice
from app.embeddings.prepared import Prepared
from app.serving import processes
from app.serving.processes import Processes, count

from tests.conftest import AUTHORIZED, TOKEN, MakeSettings
from tests.serving.conftest import Start

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


@pytest.mark.parametrize(
    ("staying", "going", "expected"),
    [([], [], 0), ([0], [], 1), ([0, 1, 2], [], 3), ([1, 2, 3], [], 0), ([0, 2, 3], [], 1),
     ([], [0, 1, 2, 3], 4), ([4], [1, 2, 3], 5), ([4, 5, 6], [3, 7], 11), ([4, 5, 6, 7], [], 0)],
)  # fmt: skip
def test_a_new_worker_takes_the_place_of_one_that_has_ended_or_a_like_one_of_one_that_goes(
    staying: list[int], going: list[int], expected: int
) -> None:
    workers = [SimpleNamespace(place=place, outdated=place in going) for place in [*staying, *going]]
    arbiter = SimpleNamespace(WORKERS=dict(enumerate(workers)), num_workers=4)
    worker = SimpleNamespace()

    processes._take_place(arbiter, worker)

    assert worker.place == expected


@pytest.mark.parametrize(("workers", "expected"), [(1, 8), (3, 2), (20, 1)])
def test_threads_are_divided_among_the_workers(monkeypatch: pytest.MonkeyPatch, workers: int, expected: int) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 8)
    made: list[tuple[int, int]] = []
    service = Processes(Settings.load(), workers, lambda place, threads: made.append((place, threads)))
    service._place = workers - 1

    service.load()

    assert made == [(workers - 1, expected)]


@pytest.mark.parametrize(("host", "expected"), [("0.0.0.0", "0.0.0.0:8000"), ("::1", "[::1]:8000")])
def test_the_address_is_the_one_of_the_settings(host: str, expected: str) -> None:
    service = Processes(Settings.load(host=host), 1, lambda *_: None)

    assert service.cfg.settings["bind"].value == [expected]


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
