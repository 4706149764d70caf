"""The gallery on disk: made once, complete or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.config import Settings
from app.demo import gallery
from app.demo.gallery import Gallery, hang
from app.demo.service import demonstrating
from app.errors import GalleryUnavailable


@pytest.fixture(scope="module")
def settings() -> Settings:
    return demonstrating()


@pytest.fixture(scope="module")
def small_gallery(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return hang(settings, tmp_path_factory.mktemp("galleries") / "gallery", 6)


@pytest.fixture
def _painting_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("painted")

    monkeypatch.setattr(gallery, "_fill", forbidden)


def test_every_artwork_has_a_picture_a_label_and_a_unit_vector(small_gallery: Gallery) -> None:
    assert len(small_gallery.labels) == len(small_gallery.vectors) == 6
    assert all((small_gallery.folder / label["path"]).stat().st_size > 10_000 for label in small_gallery.labels)
    assert np.allclose(np.linalg.norm(small_gallery.vectors, axis=1), 1, atol=1e-5)


def test_an_artwork_is_nearest_to_itself(small_gallery: Gallery) -> None:
    first, second = small_gallery.nearest(small_gallery.vectors[3], small_gallery.space, 2)

    assert first.label == small_gallery.labels[3]
    assert first.score == pytest.approx(1, abs=1e-5)
    assert second.score < first.score


def test_whoever_watches_is_told_how_far_it_is(settings: Settings, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    hang(settings, tmp_path / "gallery", 3, lambda done, count: told.append((done, count)))

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_gallery_is_decoded_as_the_settings_say(settings: Settings, small_gallery: Gallery, tmp_path: Path) -> None:
    fast = hang(settings.model_copy(update={"decoding": "fast"}), tmp_path / "gallery", 3)

    cosines = np.sum(fast.vectors * small_gallery.vectors[:3], axis=1)
    assert fast.space != small_gallery.space
    assert np.all(cosines > 0.999)
    assert np.any(fast.vectors != small_gallery.vectors[:3])


@pytest.mark.usefixtures("_painting_is_forbidden")
def test_a_gallery_that_hangs_stays(settings: Settings, small_gallery: Gallery) -> None:
    assert hang(settings, small_gallery.folder, 6).labels == small_gallery.labels


@pytest.mark.parametrize("change", ["count", "space", "edition"])
def test_a_gallery_of_other_makings_is_painted_anew(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = hang(settings, tmp_path / "gallery", 2)
    made_from = before.folder / "gallery.json"
    if change == "count":
        assert len(hang(settings, before.folder, 3).labels) == 3
        return
    if change == "space":
        made_from.write_text(made_from.read_text().replace(before.space, "another"))
    else:
        monkeypatch.setattr(gallery, "EDITION", gallery.EDITION + 1)
    (before.folder / "images" / "demo-0001.jpg").unlink()

    assert (hang(settings, before.folder, 2).folder / "images" / "demo-0001.jpg").exists()


def test_painting_that_is_interrupted_leaves_what_was_there(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hang(settings, tmp_path / "gallery", 2)

    def interrupted(folder: Path, *_: Any) -> None:
        folder.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(gallery, "_fill", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hang(settings, before.folder, 3)

    assert {entry.name for entry in tmp_path.iterdir()} <= {"gallery", "gallery.lock"}
    assert Gallery.open(before.folder).labels == before.labels


def test_what_a_killed_process_left_is_removed(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "gallery.unfinished-1" / "new").mkdir(parents=True)

    hang(settings, tmp_path / "gallery", 1)

    assert not (tmp_path / "gallery.unfinished-1").exists()


def test_a_folder_that_cannot_be_written_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(GalleryUnavailable, match="can't be written"):
        hang(settings, tmp_path / "file" / "gallery", 2)


def test_where_no_gallery_is_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(GalleryUnavailable, match="make demo"):
        Gallery.open(tmp_path)


def test_vectors_of_two_spaces_are_not_compared(small_gallery: Gallery) -> None:
    with pytest.raises(GalleryUnavailable, match="of space other"):
        small_gallery.nearest(small_gallery.vectors[0], "other", 1)
