"""What is done again and again: when it is done, what is said of it, and how it ends."""

import logging
import signal
import weakref

import pytest
from app.catalogue.files import uncollected
from app.commands.rounds import Say, rounds
from app.errors import CatalogueUnusable


class Waits:
    """In the place of waiting: notes for how long, and at last sends a signal."""

    def __init__(self, count: int, end: signal.Signals = signal.SIGTERM) -> None:
        self.spans: list[float] = []
        self._count = count
        self._end = end

    def __call__(self, seconds: float) -> None:
        self.spans.append(seconds)
        if len(self.spans) == self._count:
            signal.raise_signal(self._end)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Three rounds, and then SIGTERM."""
    waits = Waits(3)
    monkeypatch.setattr("gc.collect", lambda: 0)  # half a second, among all that the tests have imported
    monkeypatch.setattr("app.commands.rounds.wait", waits)
    return waits


def silent(_: str) -> None: ...


def test_it_is_done_again_after_each_wait_until_sigterm(waits: Waits) -> None:
    done: list[Say] = []

    rounds(done.append, 60, silent)

    assert len(done) == 3
    assert waits.spans == [60, 60, 60]


def test_ctrl_c_interrupts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.commands.rounds.wait", Waits(1, signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may have another

    with pytest.raises(KeyboardInterrupt):
        rounds(lambda _: None, 60, silent)

    signal.signal(signal.SIGINT, before)


def test_sigterm_ends_it_in_the_middle_too() -> None:
    reached: list[str] = []

    def once(_: Say) -> None:
        reached.append("begun")
        signal.raise_signal(signal.SIGTERM)
        reached.append("gone on")

    rounds(once, 60, silent)

    assert reached == ["begun"]


def test_sigterm_ends_it_where_a_shell_has_switched_ctrl_c_off(waits: Waits) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        rounds(lambda _: None, 60, silent)
    finally:
        signal.signal(signal.SIGINT, before)

    assert len(waits.spans) == 3


def test_sigterm_is_afterwards_what_it_was(waits: Waits) -> None:
    before = signal.getsignal(signal.SIGTERM)

    rounds(lambda _: None, 60, silent)

    assert signal.getsignal(signal.SIGTERM) is before


def test_what_was_said_in_the_round_before_is_not_said_again(waits: Waits) -> None:
    lines = iter(["3 rows", "3 put in", "3 rows", "none put in", "3 rows", "none put in"])
    said: list[str] = []

    def once(say: Say) -> None:
        say(next(lines))
        say(next(lines))

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

    with caplog.at_level(logging.ERROR):
        rounds(once, 60, silent)

    assert len(done) == 3
    assert "there is no list" in caplog.text


def test_what_a_round_has_left_is_freed_before_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[weakref.ref[object]] = []

    class Model:
        def __init__(self) -> None:
            self.itself = self

    def once(_: Say) -> None:
        left.append(weakref.ref(Model()))
        with uncollected():
            pass

    def wait(_: float) -> None:
        assert left[0]() is None
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("app.commands.rounds.wait", wait)

    rounds(once, 60, silent)
