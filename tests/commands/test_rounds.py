"""What is done again and again: when it is done, what is said of it, and how it ends."""

import logging
import signal
import subprocess
import sys

import pytest
from app.commands.rounds import Say, rounds
from app.errors import CatalogueUnusable

PATIENCE_S = 60.0
# A process of its own is signalled. Whoever runs the tests may have switched Ctrl-C off for all that is started.
BEGINNING = """
import signal, time
from app.commands.rounds import rounds

signal.signal(signal.SIGINT, signal.default_int_handler)

def tell(line):
    print(line, flush=True)

def working(say):
    say("begun")
    time.sleep(3600)

"""
BETWEEN = "rounds(lambda say: say('begun'), 3600, tell)\ntell('ended')\n"
WITHIN = "rounds(working, 3600, tell)\ntell('ended')\n"
# It has begun when the round before has left nothing.
AFTER_A_MODEL = """
import weakref
from app.catalogue.files import uncollected

class Model:
    def __init__(self):
        self.itself = self

models = []

def once(say):
    if models:
        say("begun" if models[-1]() is None else "still there")
    models.append(weakref.ref(Model()))
    with uncollected():
        pass

rounds(once, 0.01, tell)
"""


class Enough(Exception):
    """So many waits are enough."""


class Waits:
    """In the place of waiting: notes for how long, and ends the third."""

    def __init__(self) -> None:
        self.spans: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.spans.append(seconds)
        if len(self.spans) == 3:
            raise Enough


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Three rounds."""
    waits = Waits()
    monkeypatch.setattr("app.commands.rounds._let_go", lambda: None)  # of all that other tests have left
    monkeypatch.setattr("app.commands.rounds.wait", waits)
    return waits


def ended_by(signalled: signal.Signals, program: str) -> tuple[int, list[str]]:
    """The exit status of a program that was signalled as soon as it had begun, and what it said then."""
    command = [sys.executable, "-c", BEGINNING + program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "begun\n"
            process.send_signal(signalled)
            said, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    return process.returncode, said.splitlines()


def silent(_: str) -> None: ...


def test_it_is_done_again_after_each_wait(waits: Waits) -> None:
    done: list[Say] = []

    with pytest.raises(Enough):
        rounds(done.append, 60, silent)

    assert len(done) == 3
    assert waits.spans == [60, 60, 60]


def test_sigterm_ends_it_between_two_rounds() -> None:
    assert ended_by(signal.SIGTERM, BETWEEN) == (0, ["ended"])


def test_sigterm_ends_it_in_the_middle_of_one_too() -> None:
    assert ended_by(signal.SIGTERM, WITHIN) == (0, ["ended"])


def test_sigterm_ends_it_where_a_shell_has_switched_ctrl_c_off() -> None:
    assert ended_by(signal.SIGTERM, "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + BETWEEN) == (0, ["ended"])


def test_sigterm_is_afterwards_what_it_was() -> None:
    program = BETWEEN + "tell(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"

    assert ended_by(signal.SIGTERM, program) == (0, ["ended", "True"])


def test_ctrl_c_interrupts_it() -> None:
    assert ended_by(signal.SIGINT, BETWEEN) == (-signal.SIGINT, [])


def test_what_was_said_in_the_round_before_is_not_said_again(waits: Waits) -> None:
    lines = iter(["3 rows", "3 put in", "3 rows", "none put in", "3 rows", "none put in"])
    said: list[str] = []

    def once(say: Say) -> None:
        say(next(lines))
        say(next(lines))

    with pytest.raises(Enough):
        rounds(once, 60, said.append)

    assert said == ["3 rows", "3 put in", "none put in"]


def test_a_first_round_that_can_not_be_done_ends_it() -> None:
    def once(_: Say) -> None:
        raise CatalogueUnusable("there is no list")

    with pytest.raises(CatalogueUnusable):
        rounds(once, 60, silent)


def test_a_later_one_is_logged_and_tried_again(waits: Waits, caplog: pytest.LogCaptureFixture) -> None:
    done = []

    def once(_: Say) -> None:
        done.append("tried")
        if len(done) == 2:
            raise CatalogueUnusable("there is no list")

    with caplog.at_level(logging.ERROR), pytest.raises(Enough):
        rounds(once, 60, silent)

    assert len(done) == 3
    assert "there is no list" in caplog.text


def test_what_a_round_has_left_is_freed_before_the_next_one() -> None:
    assert ended_by(signal.SIGTERM, AFTER_A_MODEL) == (0, [])
