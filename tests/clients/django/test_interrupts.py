"""`update_embeddings` in a process of its own, ended half-way, and two of them at once."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from tests.clients.django.conftest import artworks
from tests.clients.django.gallery.models import Artwork
from tests.clients.python.service import Loopback, Respond, Service
from tests.conftest import TOKEN

ROOT = Path(__file__).parents[3]
RUNNING_S = 60
Start = Callable[..., "subprocess.Popen[str]"]


class Stalling:
    """A service that answers so many lists, and then none until it is let."""

    def __init__(self, lists: int) -> None:
        self.lists = lists
        self.stalled = threading.Event()
        self.let = threading.Event()
        self._service = Service()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/embed/image":
            self.lists -= 1
            if self.lists < 0:
                self.stalled.set()
                self.let.wait(RUNNING_S)
        return self._service(request)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command, at a service."""
    started: list[subprocess.Popen[str]] = []

    def begin(address: str, *arguments: str) -> "subprocess.Popen[str]":
        environment = {
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "clients" / "django", ROOT / "clients" / "python"))),
            "DJANGO_SETTINGS_MODULE": "tests.clients.django.settings",
            "GALLERY_DATABASE": str(settings.DATABASES["default"]["NAME"]),
            "EMBEDDINGS_SERVICE_URL": address,
            "EMBEDDINGS_SERVICE_TOKEN": TOKEN,
        }
        command = [sys.executable, "-m", "django", "update_embeddings", "--model", "gallery.Artwork", *arguments]
        started.append(
            subprocess.Popen(
                command,
                env=os.environ | environment,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def made() -> int:
    return Artwork.objects.filter(image_vector__isnull=False).count()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ended_by", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["Ctrl-C", "SIGTERM", "kill -9"],
)
def test_a_run_that_is_ended_half_way_loses_no_more_than_what_was_under_way(
    ended_by: signal.Signals, status: int, start: Start, loopback: Callable[[Respond], Loopback]
) -> None:
    artworks(20)
    service = Stalling(lists=4)
    address = loopback(service).address
    run = start(address, "--batch-size", "2", "--concurrency", "2")
    assert service.stalled.wait(RUNNING_S)
    _until(lambda: made() == 8)

    run.send_signal(ended_by)

    printed, _ = run.communicate(timeout=RUNNING_S)
    assert run.returncode == status, printed
    assert made() == 8
    if ended_by != signal.SIGKILL:
        assert "8 vectors made" in printed
        assert "Stopped." in printed
    service.let.set()
    again = start(address)
    printed, _ = again.communicate(timeout=RUNNING_S)
    assert (again.returncode, made()) == (0, 20), printed
    assert "12 vectors made, 0 failed, 8 as they should be" in printed


@pytest.mark.slow
def test_two_commands_at_once_lose_nothing(start: Start, loopback: Callable[[Respond], Loopback]) -> None:
    artworks(30)
    address = loopback(Service()).address

    runs = [start(address, "--batch-size", "3") for _ in range(2)]

    for run in runs:
        printed, _ = run.communicate(timeout=RUNNING_S)
        assert run.returncode == 0, printed
    assert made() == 30


@pytest.mark.slow
def test_the_command_fails_by_its_exit_status(start: Start, free_port: int) -> None:
    run = start(f"http://127.0.0.1:{free_port}")

    printed, _ = run.communicate(timeout=RUNNING_S)

    assert run.returncode == 1
    assert "CommandError: The service can't be reached" in printed
    assert "Traceback" not in printed


def _until(true: Callable[[], bool]) -> None:
    pace = threading.Event()
    for _ in range(int(RUNNING_S / 0.02)):
        if true():
            return
        pace.wait(0.02)
    raise AssertionError("It never became true.")
