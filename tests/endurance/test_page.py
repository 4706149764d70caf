"""What a run says at its end, and the page that keeps it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endurance.page import PAGE, table, write
from tests.endurance.verdicts import Check

ROOT = Path(__file__).parents[2]


def test_the_table_says_of_each_check_what_was_wanted_and_measured_and_whether_that_is_well() -> None:
    text = table([Check("files left", "0", "0", True), Check("end", "≤ 5 s", "7.00 s", False)])

    assert "| files left | 0 | 0 | yes |" in text
    assert "| end | ≤ 5 s | 7.00 s | **no** |" in text


def test_each_command_writes_its_own_part_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text("utf-8"), "utf-8")

    write("soak", "of the first soak", page)
    write("chaos", "of chaos", page)
    write("soak", "of the second soak", page)

    text = page.read_text("utf-8")
    assert "of the second soak" in text
    assert "of chaos" in text
    assert "of the first soak" not in text
    assert text.startswith(PAGE.read_text("utf-8").partition("<!--")[0])


def test_a_page_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("By hand.\n", "utf-8")

    with pytest.raises(ValueError, match="marks"):
        write("soak", "new", page)
    assert page.read_text("utf-8") == "By hand.\n"


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    """An environment in which logs that are kept come to lie in this test's own folder."""
    return os.environ | {"TMPDIR": str(tmp_path)}


@pytest.mark.slow
def test_a_fault_on_its_own_is_measured_from_beginning_to_end(own: dict[str, str]) -> None:
    command = [sys.executable, "-m", "tests.endurance", "chaos", "--only", "stop-idle"]
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "| SIGTERM when idle: exit status | 0 | 0 | yes |" in done.stdout


@pytest.mark.slow
def test_a_soak_that_is_interrupted_ends_cleanly_and_tells_what_it_has_found(own: dict[str, str]) -> None:
    command = [sys.executable, "-m", "tests.endurance", "soak", "--minutes", "30"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=own, stdout=pipe, stderr=pipe, text=True) as soak:
        assert soak.stderr
        soak.stderr.readline()  # it is warming up
        soak.send_signal(signal.SIGINT)
        told, _ = soak.communicate()

    # Nothing is known of memory after so short a time, which isn't well.
    assert soak.returncode == 1
    assert "| requests lost without excuse | 0 | 0 | yes |" in told
    assert "| processes left | 0 | 0 | yes |" in told
