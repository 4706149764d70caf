"""Images to rows: what is computed, what is published, and what a crash leaves."""

import errno
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.catalogue import embedding
from app.catalogue.embedding import Embedded, Unusable, embed
from app.catalogue.images import keep
from app.catalogue.lists import Row
from app.catalogue.manifest import Entry
from app.catalogue.places import Places
from app.catalogue.rows import Rows

from tests.catalogue.conftest import SPACE, Model, picture, vector_of

BROKEN = Unusable("image_corrupt", "The image is damaged.")
LATE = Unusable("decode_timeout", "The image was not decoded within 10 seconds.")


class Catalogue:
    """A list, and the images behind it as a night has left them."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.listed: list[Row] = []
        self.manifest: dict[str, Entry] = {}

    def name(self, *ids: str) -> None:
        """The list has these items."""
        self.listed = [Row(name, f"http://host/{name}", {"title": f"Title of {name}"}) for name in ids]

    def show(self, name: str, data: bytes) -> None:
        """Behind an item's URL there is this image now."""
        digest, path = keep(self.places.images, data)
        url = f"http://host/{name}"
        self.manifest[url] = Entry(url, "ok", 0, sha256=digest, path=path, bytes=len(data))

    def embed(self, model: Model, run: str = "a run") -> Embedded:
        return embed(self.listed, self.manifest, self.places, model, run)

    def metadata(self) -> list[dict[str, Any]]:
        return lines(self.places.output / "metadata.jsonl")

    def ids(self) -> Sequence[str]:
        return [row["id"] for row in self.metadata()]

    def vectors(self) -> Any:
        return np.load(self.places.output / "embeddings.npy", mmap_mode="r")


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def catalogue(places: Places) -> Catalogue:
    """Three pictures."""
    catalogue = Catalogue(places)
    catalogue.name("a", "b", "c")
    for number, name in enumerate("abc"):
        catalogue.show(name, picture(number))
    return catalogue


def test_every_picture_has_a_row_and_a_line_in_the_same_order(catalogue: Catalogue, model: Model) -> None:
    done = catalogue.embed(model)

    assert (done.computed, done.rows, done.gone, done.failures.total()) == (3, 3, 0, 0)
    assert catalogue.ids() == ["a", "b", "c"]
    assert catalogue.vectors().dtype == np.float32
    assert np.array_equal(catalogue.vectors(), [vector_of(picture(number)) for number in range(3)])
    first = catalogue.metadata()[0]
    assert (first["url"], first["sha256"]) == ("http://host/a", sha256(picture(0)).hexdigest())
    assert (first["width"], first["height"], first["metadata"]) == (8, 6, {"title": "Title of a"})
    assert (catalogue.places.output / first["path"]).read_bytes() == picture(0)


def test_the_history_says_by_which_model_and_in_which_space(catalogue: Catalogue, model: Model) -> None:
    catalogue.embed(model, "a run")

    (line,) = lines(catalogue.places.output / "embedding_manifest.jsonl")
    assert (line["run"], line["space"], line["dimensions"], line["rows"]) == ("a run", SPACE, 8, 3)
    assert line["model"] == "a model of the tests"


def test_a_second_run_computes_nothing_and_writes_nothing(catalogue: Catalogue, model: Model) -> None:
    catalogue.embed(model)
    written = {file: file.stat().st_mtime_ns for file in catalogue.places.output.iterdir()}

    done = catalogue.embed(model)

    assert (done.computed, done.rows) == (0, 3)
    assert {file: file.stat().st_mtime_ns for file in catalogue.places.output.iterdir()} == written


def test_ten_rows_that_show_one_picture_cost_one_inference(places: Places, model: Model) -> None:
    catalogue = Catalogue(places)
    catalogue.name(*"abcdefghij")
    for name in "abcdefghij":
        catalogue.show(name, picture(1))

    done = catalogue.embed(model)

    assert (done.computed, done.rows, len(model.computed)) == (1, 10, 1)
    assert len(np.unique(catalogue.vectors(), axis=0)) == 1


def test_only_what_is_new_or_has_changed_is_computed(catalogue: Catalogue, model: Model) -> None:
    catalogue.embed(model)
    model.computed.clear()
    catalogue.name("a", "b", "c", "d")
    catalogue.show("b", picture(20))
    catalogue.show("d", picture(30))

    catalogue.embed(model)

    assert model.computed == [picture(20), picture(30)]
    assert catalogue.ids() == ["a", "b", "c", "d"]
    assert np.array_equal(catalogue.vectors()[1], vector_of(picture(20)))


def test_what_a_list_says_anew_is_published_without_an_inference(catalogue: Catalogue, model: Model) -> None:
    catalogue.embed(model)
    catalogue.listed[1] = Row("b", "http://host/b", {"title": "Another title"})

    done = catalogue.embed(model)

    assert done.computed == 0
    assert catalogue.metadata()[1]["metadata"] == {"title": "Another title"}


def test_another_space_means_all_of_it_again(catalogue: Catalogue, model: Model) -> None:
    catalogue.embed(model)
    other = Model("another space")

    done = catalogue.embed(other)

    assert (done.computed, done.rows) == (3, 3)
    assert [line["space"] for line in lines(catalogue.places.output / "embedding_manifest.jsonl")] == [
        SPACE,
        other.space,
    ]


def test_what_has_no_image_has_no_row(catalogue: Catalogue, model: Model) -> None:
    catalogue.name("a", "b", "c", "never asked for", "without an image")
    catalogue.manifest["http://host/without an image"] = Entry("http://host/without an image", "dead", 0)

    done = catalogue.embed(model)

    assert (done.rows, done.without_image) == (3, 2)


def test_an_image_that_cannot_be_used_costs_no_other_its_row(catalogue: Catalogue, model: Model) -> None:
    model.unusable[picture(1)] = BROKEN

    done = catalogue.embed(model)

    assert catalogue.ids() == ["a", "c"]
    assert done.failures == {"image_corrupt": 1}
    (failure,) = lines(catalogue.places.output / "failures.jsonl")
    assert (failure["id"], failure["code"], failure["detail"]) == ("b", *BROKEN)


@pytest.mark.parametrize(("why", "again"), [(BROKEN, 0), (LATE, 1)])
def test_only_what_may_get_better_is_tried_again(catalogue: Catalogue, model: Model, why: Unusable, again: int) -> None:
    model.unusable[picture(1)] = why
    catalogue.embed(model)
    model.computed.clear()

    done = catalogue.embed(model)

    assert len(model.computed) == again
    assert done.failures == {why.code: 1}


def test_a_picture_whose_new_image_cannot_be_used_keeps_the_row_of_the_old_one(
    catalogue: Catalogue, model: Model
) -> None:
    catalogue.embed(model)
    catalogue.show("b", picture(20))
    model.unusable[picture(20)] = BROKEN

    done = catalogue.embed(model)

    assert done.failures == {"image_corrupt": 1}
    assert np.array_equal(catalogue.vectors()[1], vector_of(picture(1)))
    assert catalogue.metadata()[1]["sha256"] == sha256(picture(1)).hexdigest()
    assert catalogue.embed(model).computed == 0


def test_a_picture_that_has_moved_to_a_url_without_an_image_keeps_its_row(catalogue: Catalogue, model: Model) -> None:
    catalogue.embed(model)
    catalogue.listed[1] = Row("b", "http://host/moved", {})

    catalogue.embed(model)

    assert (catalogue.metadata()[1]["id"], catalogue.metadata()[1]["url"]) == ("b", "http://host/b")


def test_what_is_gone_from_the_list_is_marked_and_stays(catalogue: Catalogue, model: Model) -> None:
    catalogue.embed(model)
    catalogue.name("a", "c")

    done = catalogue.embed(model)

    assert (done.rows, done.gone) == (2, 1)
    assert {row["id"]: bool(row["gone_at"]) for row in catalogue.metadata()} == {"a": False, "c": False, "b": True}
    assert np.array_equal(catalogue.vectors()[2], vector_of(picture(1)))
    before = (catalogue.places.output / "metadata.jsonl").read_bytes()
    catalogue.embed(model)
    assert (catalogue.places.output / "metadata.jsonl").read_bytes() == before


def test_what_comes_back_to_the_list_is_as_if_it_had_never_gone(catalogue: Catalogue, model: Model) -> None:
    catalogue.embed(model)
    before = catalogue.metadata()
    catalogue.name("a", "c")
    catalogue.embed(model)
    catalogue.name("a", "b", "c")

    done = catalogue.embed(model)

    assert (done.computed, done.gone) == (0, 0)
    assert catalogue.metadata() == before


def test_a_list_without_rows_is_no_fault(places: Places, model: Model) -> None:
    catalogue = Catalogue(places)

    done = catalogue.embed(model)

    assert (done.rows, done.computed) == (0, 0)
    assert catalogue.vectors().shape == (0, 8)
    assert catalogue.metadata() == []


def test_what_was_computed_before_a_command_was_stopped_is_not_computed_again(
    catalogue: Catalogue, model: Model
) -> None:
    model.stopped_at = picture(2)
    with pytest.raises(KeyboardInterrupt):
        catalogue.embed(model)
    assert not (catalogue.places.output / "embeddings.npy").exists()
    model.stopped_at = None
    model.computed.clear()

    done = catalogue.embed(model)

    assert model.computed == [picture(2)]
    assert done.rows == 3
    assert np.array_equal(catalogue.vectors(), [vector_of(picture(number)) for number in range(3)])
    assert not list(catalogue.places.output.glob("*.journal"))


@pytest.mark.parametrize("damage", [b"", b"half a record", b"\0" * 500])
def test_a_record_that_a_crash_has_spoilt_is_computed_again(catalogue: Catalogue, model: Model, damage: bytes) -> None:
    model.stopped_at = picture(2)
    with pytest.raises(KeyboardInterrupt):
        catalogue.embed(model)
    (journal,) = catalogue.places.output.glob("*.journal")
    size = journal.stat().st_size // 2
    journal.write_bytes(journal.read_bytes()[: size + size // 2] + damage)
    model.stopped_at = None
    model.computed.clear()

    catalogue.embed(model)

    assert model.computed == [picture(1), picture(2)]
    assert np.array_equal(catalogue.vectors(), [vector_of(picture(number)) for number in range(3)])


@pytest.mark.parametrize("moved", range(5))
def test_who_is_stopped_between_two_files_leaves_rows_that_belong_together(
    catalogue: Catalogue, model: Model, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    catalogue.embed(model)
    catalogue.name("a", "b", "c", "d")
    catalogue.show("d", picture(30))
    replace = Path.replace
    count = 0

    def stopped(self: Path, target: Path) -> Path:
        nonlocal count
        if count == moved:
            raise KeyboardInterrupt
        count += 1
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopped)
        if moved == 4:
            patch.setattr(Path, "rmdir", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            catalogue.embed(model)

    done = catalogue.embed(model)

    assert done.rows == 4
    assert catalogue.ids() == ["a", "b", "c", "d"]
    assert np.array_equal(catalogue.vectors()[3], vector_of(picture(30)))
    assert model.computed.count(picture(30)) == 1


def test_a_full_disk_leaves_the_rows_that_were_there(
    catalogue: Catalogue, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.embed(model)
    before = catalogue.metadata()
    catalogue.show("a", picture(20))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("app.catalogue.rows.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            catalogue.embed(model)
    assert catalogue.metadata() == before
    model.computed.clear()

    catalogue.embed(model)

    assert model.computed == []
    assert np.array_equal(catalogue.vectors()[0], vector_of(picture(20)))


@pytest.mark.parametrize("file", ["metadata.jsonl", "embeddings.npy"])
def test_of_files_that_were_cut_off_what_agrees_is_kept(catalogue: Catalogue, model: Model, file: str) -> None:
    catalogue.embed(model)
    path = catalogue.places.output / file
    if file == "metadata.jsonl":
        path.write_bytes(path.read_bytes()[:-30])
    else:
        np.save(path, np.load(path)[:2])
    assert len(Rows.read(catalogue.places.output).rows) == 2
    model.computed.clear()

    catalogue.embed(model)

    assert model.computed == [picture(2)]
    assert catalogue.ids() == ["a", "b", "c"]


def test_whoever_watches_is_told_how_far_it_is(catalogue: Catalogue, model: Model) -> None:
    told: list[tuple[int, int]] = []

    embedding.embed(
        catalogue.listed, catalogue.manifest, catalogue.places, model, "a run", lambda *so_far: told.append(so_far)
    )

    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
