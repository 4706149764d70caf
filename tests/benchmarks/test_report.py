"""Figures, the page, the plots, and that a run gives them."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.conditions import Architecture, Tower
from benchmarks.plots import Curve, Point, latency, throughput
from benchmarks.report import BEGIN, END, Figure, Section, figures, replace

ROOT = Path(__file__).parents[2]
VIT_B_32 = Architecture(Tower(768, 12), Tower(512, 12), image_size=224, patch_size=32, dimensions=512)


def test_a_figure_is_reached_where_it_is_as_good_as_required() -> None:
    assert Figure.at_least("x", 14.0, 14).reached
    assert not Figure.at_least("x", 13.9, 14).reached
    assert Figure.at_most("x", 150.0, 150).reached
    assert not Figure.at_most("x", math.inf, 150).reached


def test_the_first_table_says_what_was_wanted_and_what_was_not_reached() -> None:
    figure = Figure.at_least("speed", 13.94, 14, 18, "{:.1f}")

    (table,) = figures([Section("nothing asked for"), Section("something", [figure])])

    assert "| speed | ≥ 14.0 | ≥ 18.0 | 13.9 | **no** |" in table


def test_there_is_no_first_table_where_nothing_was_asked_for() -> None:
    assert figures([Section("nothing")]) == []


def test_what_a_person_wrote_around_the_generated_part_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n\n{BEGIN}\n\nold\n\n{END}\n\nAfter.\n", "utf-8")

    replace(page, "new\n")
    replace(page, "newer\n")

    assert page.read_text("utf-8") == f"Before.\n\n{BEGIN}\n\nnewer\n\n{END}\n\nAfter.\n"


def test_a_page_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("By hand.\n", "utf-8")

    with pytest.raises(ValueError, match="marks"):
        replace(page, "new")
    assert page.read_text("utf-8") == "By hand.\n"


def test_the_page_of_results_has_its_marks() -> None:
    page = (ROOT / "benchmarks" / "results.md").read_text("utf-8")

    assert (page.count(BEGIN), page.count(END)) == (1, 1)


def test_the_arithmetic_of_vit_b_32_is_what_is_known_of_it() -> None:
    assert VIT_B_32.image_flop() / 1e9 == pytest.approx(8.8, abs=0.05)
    assert VIT_B_32.text_weights() * 4 / 1e6 == pytest.approx(152, abs=1)
    # 77 tokens: 5.96 GFLOP, of which the products among them are 0.15.
    assert VIT_B_32.text_flop(77) / 1e9 == pytest.approx(5.96, abs=0.01)


def test_a_plot_is_the_same_bytes_for_the_same_numbers_and_says_what_it_shows() -> None:
    curves = [Curve("straightforward", [Point(1, 1, 60, 90), Point(20, 0, math.inf, math.inf)])]

    for plot in (throughput, latency):
        picture = plot(curves)
        assert picture == plot(curves)
        assert "straightforward" in picture
        assert "offered (queries/s)" in picture


@pytest.mark.slow
def test_a_quick_run_prints_a_section_and_its_figures() -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "repeated"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "## Figures wanted and reached" in done.stdout
    assert "| repeated queries, cache on, per worker | ≥ 1500/s |" in done.stdout
    assert "## Repeated queries, cache on" in done.stdout
