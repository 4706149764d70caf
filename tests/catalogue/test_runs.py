"""Whether a command that works on a catalogue does so, told by the figures that its runs leave."""

from pathlib import Path

import pytest
from app.catalogue.runs import SILENCE_S, Run, trouble

NOW = 1_000_000.0


@pytest.fixture(autouse=True)
def _it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.catalogue.runs.time.time", lambda: NOW)


def test_a_command_that_has_not_run_is_in_trouble(tmp_path: Path) -> None:
    assert trouble("run", tmp_path, NOW) == "it hasn't run here"


def test_a_run_is_well_while_it_shows_signs_of_life(tmp_path: Path) -> None:
    with Run("run", tmp_path):
        assert trouble("run", tmp_path, NOW + SILENCE_S) is None
        assert trouble("run", tmp_path, NOW + SILENCE_S + 1) == "it has shown no sign of life for 601 seconds"


def test_a_run_in_which_something_failed_has_gone_through_all_the_same(tmp_path: Path) -> None:
    with Run("run", tmp_path):
        pass

    assert trouble("run", tmp_path, NOW + 1e9) is None


def test_a_run_that_was_broken_off_is_trouble_until_the_next_one_begins(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), Run("run", tmp_path):
        raise ValueError("broken")

    assert trouble("run", tmp_path, NOW) == "its last run was broken off"
    with Run("run", tmp_path):
        assert trouble("run", tmp_path, NOW) is None


def test_a_run_that_is_to_be_followed_by_another_is_overdue_some_time(tmp_path: Path) -> None:
    with Run("run", tmp_path, every_s=3600):
        pass

    assert trouble("run", tmp_path, NOW + 3600 + SILENCE_S) is None
    assert trouble("run", tmp_path, NOW + 3600 + SILENCE_S + 60) == "it is late by 660 seconds"
