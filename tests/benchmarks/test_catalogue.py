"""What is read from the commands of a catalogue that are measured, and what they are measured on."""

import time
from pathlib import Path

import pytest
from app.catalogue.downloads import Policy, due
from app.catalogue.lists import read
from app.catalogue.manifest import Manifest
from app.catalogue.places import Places
from app.catalogue.rows import Rows
from app.catalogue.runs import Run
from app.config import DEMONSTRATION
from benchmarks.catalogue import Done, figures_of
from benchmarks.conditions import Architecture, Conditions, Tower
from benchmarks.photograph import SMALL, photograph
from benchmarks.unchanged import lay_out


def test_the_figures_of_a_run_are_read_and_not_those_of_kinds_of_failures(tmp_path: Path) -> None:
    with Run("download", tmp_path) as run:
        run.note("catalogue_download_rate", "", 412.5)
        run.note("catalogue_download_failures", "", 3, code="image_not_found")
        run.succeeded()

    figures = figures_of((tmp_path / "catalogue-download.prom").read_text("utf-8"))

    assert figures["catalogue_download_rate"] == 412.5
    assert figures["catalogue_succeeded"] == 1
    assert "catalogue_download_failures" not in figures


def test_a_command_that_came_to_something_else_is_not_measured() -> None:
    done = Done(1.5, {"catalogue_embedded": 3.0})

    assert done.checked({"catalogue_embedded": 3}) is done
    with pytest.raises(RuntimeError, match="catalogue_embedded"):
        done.checked({"catalogue_embedded": 0})
    with pytest.raises(RuntimeError, match="catalogue_rows"):
        done.checked({"catalogue_rows": 3})


def test_in_a_catalogue_that_is_laid_out_nothing_is_due_and_each_picture_has_its_row(tmp_path: Path) -> None:
    tower = Tower(1, 1)
    conditions = Conditions(DEMONSTRATION, "bundled", Architecture(tower, tower, 1, 1, 1), tmp_path, (), quick=True)
    listing, folder = tmp_path / "list.csv", tmp_path / "catalogue"

    lay_out(conditions, listing, folder, 30)

    listed, places = read(str(listing)).rows, Places.of(folder, None, None, None)
    manifest, rows = Manifest(places.manifest), Rows.read(folder)
    assert due([row.url for row in listed], manifest, places.images, Policy(3600), time.time()) == []
    assert [(row.id, row.url, row.metadata) for row in rows.rows] == [(row.id, row.url, row.metadata) for row in listed]
    assert {row.sha256 for row in rows.rows} == {entry.sha256 for entry in manifest.values()}
    assert len(rows.vectors) == 30


def test_a_small_picture_is_of_20_kilobytes() -> None:
    assert len(photograph(SMALL)) == pytest.approx(20_000, rel=0.05)
