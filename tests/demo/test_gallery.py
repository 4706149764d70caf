"""The gallery on disk: made once, complete or not at all."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.config import Settings
from app.demo import gallery
from app.demo.gallery import hang
from app.demo.service import demonstrating
from app.errors import GalleryUnavailable, IndexUnavailable
from app.search.files.store import FileStore
from app.search.filters import parsed
from app.search.opening import in_folder, opened
from PIL import Image

from tests.demo.conftest import works_in


@pytest.fixture(scope="module")
def settings() -> Settings:
    return demonstrating()


@pytest.fixture(scope="module")
def small_gallery(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("galleries") / "gallery"
    hang(settings, folder, 6)
    return folder


def space_of(folder: Path) -> str:
    """The space of a gallery's index."""
    with closing(opened(in_folder(folder))) as store:
        return store.about().space or ""


@pytest.fixture
def _painting_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("painted")

    monkeypatch.setattr(gallery, "_fill", forbidden)


def test_every_artwork_has_a_picture_a_label_and_a_unit_vector(small_gallery: Path) -> None:
    works = works_in(small_gallery)

    assert [work.id for work in works] == [f"demo-000{number}" for number in range(1, 7)]
    assert all({"title", "artist", "year", "medium"} < work.metadata.keys() for work in works)
    for work in works:
        image = work.metadata["image"]
        with Image.open(small_gallery / image["path"]) as picture:
            assert picture.size == (image["width"], image["height"])
        assert np.linalg.norm(work.vector) == pytest.approx(1, abs=1e-5)


def test_an_artwork_is_nearest_to_itself(small_gallery: Path) -> None:
    work = works_in(small_gallery)[3]
    with closing(opened(in_folder(small_gallery))) as store:
        space = store.about().space
        assert space
        first, second = store.search(work.vector, 2, parsed({}), space)

    assert (first.id, first.metadata) == (work.id, work.metadata)
    assert first.score == pytest.approx(1, abs=1e-5)
    assert second.score < first.score


def test_whoever_watches_is_told_how_far_it_is(settings: Settings, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    hang(settings, tmp_path / "gallery", 3, lambda done, count: told.append((done, count)))

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_gallery_is_decoded_as_the_settings_say(settings: Settings, small_gallery: Path, tmp_path: Path) -> None:
    hang(settings.model_copy(update={"decoding": "fast"}), tmp_path / "gallery", 3)

    exact = np.array([work.vector for work in works_in(small_gallery)[:3]])
    fast = np.array([work.vector for work in works_in(tmp_path / "gallery")])
    assert space_of(tmp_path / "gallery") != space_of(small_gallery)
    assert np.all(np.sum(exact * fast, axis=1) > 0.999)
    assert np.any(exact != fast)


@pytest.mark.usefixtures("_painting_is_forbidden")
def test_a_gallery_that_hangs_stays(settings: Settings, small_gallery: Path) -> None:
    hang(settings, small_gallery, 6)


def test_a_gallery_stays_whatever_is_put_into_its_index_or_taken_out(
    settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "gallery"
    hang(settings, folder, 2)
    with closing(opened(in_folder(folder))) as store:
        store.delete(["demo-0001"])
    request.getfixturevalue("_painting_is_forbidden")

    hang(settings, folder, 2)

    assert [work.id for work in works_in(folder)] == ["demo-0002"]


@pytest.mark.parametrize("change", ["count", "space", "edition", "index"])
def test_a_gallery_of_other_makings_is_painted_anew(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    folder = tmp_path / "gallery"
    hang(settings, folder, 2)
    if change == "count":
        hang(settings, folder, 3)
        assert len(works_in(folder)) == 3
        return
    if change == "space":
        made_from = folder / "gallery.json"
        made_from.write_text(made_from.read_text().replace(space_of(folder), "another"))
    elif change == "edition":
        monkeypatch.setattr(gallery, "EDITION", gallery.EDITION + 1)
    else:
        (folder / "faiss.index").unlink()
    (folder / "images" / "demo-0001.jpg").unlink()

    hang(settings, folder, 2)

    assert (folder / "images" / "demo-0001.jpg").exists()
    assert len(works_in(folder)) == 2


def test_painting_that_is_interrupted_leaves_what_was_there(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang(settings, tmp_path / "gallery", 2)

    def interrupted(folder: Path, *_: Any) -> None:
        folder.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(gallery, "_fill", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hang(settings, tmp_path / "gallery", 3)

    assert {entry.name for entry in tmp_path.iterdir()} <= {"gallery", "gallery.lock"}
    assert len(works_in(tmp_path / "gallery")) == 2


def test_what_a_killed_process_left_is_removed(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "gallery.unfinished-1" / "new").mkdir(parents=True)

    hang(settings, tmp_path / "gallery", 1)

    assert not (tmp_path / "gallery.unfinished-1").exists()


def test_a_folder_that_cannot_be_written_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(GalleryUnavailable, match="can't be written"):
        hang(settings, tmp_path / "file" / "gallery", 2)


def test_an_index_that_cannot_be_written_is_a_gallery_that_cannot(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise IndexUnavailable("The index can't be written.")

    monkeypatch.setattr(FileStore, "upsert", full)

    with pytest.raises(GalleryUnavailable, match=r"can't be written to .*/gallery"):
        hang(settings, tmp_path / "gallery", 1)
    assert not (tmp_path / "gallery").exists()
