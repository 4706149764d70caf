"""What is read of real processes: that one is left, what it holds, whose a connection is."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.endurance import procfs
from tests.endurance.faults import kill_worker
from tests.endurance.service import DECODER, Service, is_decoder
from tests.endurance.watch import Watch, left_in_shared_memory, shared_files

# Says that it is there, and waits until its standard input is closed.
WAIT = "import sys; print(flush=True); sys.stdin.read()"
# Accepts one connection.
ACCEPT = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(f"\\n{listener.getsockname()[1]}", flush=True)
accepted = listener.accept()
print(flush=True)
sys.stdin.read()
"""
# Starts another that outlives it.
LEAVE = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WAIT!r}])"


@contextmanager
def process(*words: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    started = subprocess.Popen(
        [sys.executable, "-c", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | environment,
    )  # fmt: skip
    with started:
        assert started.stdout
        started.stdout.readline()
        yield started


def test_a_process_that_is_left_is_found_whoever_is_its_parent_now() -> None:
    marker = secrets.token_hex(8)
    with process(LEAVE, MARK=marker) as starter:
        starter.wait()
        (left,) = procfs.marked(f"MARK={marker}")

        assert left != starter.pid
        assert procfs.parent(left) != starter.pid

    assert procfs.marked("MARK=of nobody") == []


def test_children_are_those_that_live() -> None:
    with process(WAIT) as child:
        assert child.pid in procfs.children(os.getpid())
        assert procfs.parent(child.pid) == os.getpid()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        # Nobody has asked for its status yet.
        assert child.pid not in procfs.children(os.getpid())


def test_a_decoder_is_known_by_its_command() -> None:
    with process(WAIT, DECODER) as decoder, process(WAIT) as other:
        assert is_decoder(decoder.pid)
        assert not is_decoder(other.pid)


def test_memory_age_and_open_files_are_those_of_the_process(tmp_path: Path) -> None:
    with process(WAIT) as child, (tmp_path / "file").open("w") as file:
        assert 0 < procfs.proportional(child.pid) < 2**30
        assert 0 <= procfs.age_s(child.pid) < 60
        assert procfs.descriptors(os.getpid())[file.fileno()] == str(tmp_path / "file")
        assert len(procfs.descriptors(child.pid)) == 3


def test_a_process_that_has_ended_holds_nothing() -> None:
    with process("print()") as child:
        child.wait()
        number = child.pid

    assert (procfs.proportional(number), procfs.age_s(number), procfs.descriptors(number)) == (0, 0, {})
    assert (procfs.parent(number), procfs.mapped(number), procfs.callers(number, 80)) == (None, set(), frozenset())


def test_a_connection_is_known_to_be_held_by_who_accepted_it() -> None:
    me = os.getpid()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as caller:
            callers_port = caller.getsockname()[1]
            assert callers_port not in procfs.callers(me, port)  # it waits to be accepted
            accepted, _ = listener.accept()
            with accepted, process(WAIT) as other:
                assert procfs.callers(me, port) == {callers_port}
                assert procfs.callers(other.pid, port) == frozenset()


def test_what_a_worker_holds_is_known_when_it_is_killed(tmp_path: Path) -> None:
    with process(ACCEPT) as worker, socket.socket() as caller, socket.socket() as waiting:
        assert worker.stdout
        port = int(worker.stdout.readline())
        for each in (caller, waiting):  # it accepts the first only
            each.connect(("127.0.0.1", port))
        worker.stdout.readline()

        fault = kill_worker(Service(worker, port, 1, tmp_path, tmp_path / "log", "-"), worker.pid)

        assert fault.ports == {caller.getsockname()[1]}
        assert worker.wait() == -signal.SIGKILL


def test_connections_that_a_process_opened_itself_are_told_from_those_that_it_accepted() -> None:
    before = procfs.connections_from(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert procfs.connections_from(os.getpid()) == before + 1


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Not much of one: a process with a folder of its own."""
    marker = f"MARK={secrets.token_hex(8)}"
    with process(WAIT, **dict([marker.split("=")])) as only:
        yield Service(only, 1, 1, tmp_path, tmp_path / "log", marker)


def test_a_file_that_is_left_in_the_folder_of_the_service_is_noticed(service: Service, tmp_path: Path) -> None:
    watch = Watch(service, 1)
    (tmp_path / "cache").mkdir()
    assert watch.left_behind() == []

    (tmp_path / "cache" / "left").touch()

    assert watch.left_behind() == ["cache/left"]


def test_a_file_that_is_left_in_shared_memory_is_noticed(service: Service) -> None:
    before, watch = shared_files(), Watch(service, 1)
    file = Path("/dev/shm") / f"endurance-{secrets.token_hex(8)}"
    file.touch()
    try:
        assert str(file) in watch.left_behind()
        assert str(file) in left_in_shared_memory(before)
    finally:
        file.unlink()


def test_a_file_in_shared_memory_that_others_use_is_theirs() -> None:
    before = shared_files()
    folder = Path("/dev/shm") / f"endurance-{secrets.token_hex(8)}"
    folder.mkdir()
    file = folder / "used"
    try:
        with file.open("w"):
            assert str(folder) not in left_in_shared_memory(before)
        assert str(folder) in left_in_shared_memory(before)
    finally:
        file.unlink()
        folder.rmdir()


def test_files_that_others_leave_in_tmp_are_not_held_against_the_service(service: Service) -> None:
    watch = Watch(service, 1)
    file = Path("/tmp") / f"endurance-{secrets.token_hex(8)}"
    file.touch()
    try:
        assert str(file) not in watch.left_behind()
    finally:
        file.unlink()


def test_processes_of_a_service_are_all_that_carry_its_mark(service: Service) -> None:
    assert service.processes() == [service.process.pid]
    assert service.decoders() == []
