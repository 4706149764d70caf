"""`update_embeddings`: which rows get a vector, and what else becomes of them."""

import concurrent.futures
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.utils import timezone

from tate_embeddings_django import paging, updating
from tate_embeddings_django.progress import Progress
from tests.clients.django.conftest import SPACE, Fakes, artworks, queries, update, url
from tests.clients.django.gallery.models import Artwork, Poster, Room, Scan
from tests.test_endpoints import as_png, painting

Site = Callable[..., None]


def vectors() -> dict[int, list[float] | None]:
    return dict(Artwork.objects.values_list("pk", "image_vector"))


def test_every_row_with_a_picture_gets_a_vector_and_what_it_was_made_of(fake: Fakes) -> None:
    artworks(3)

    summary = update()

    for row in Artwork.objects.all():
        assert row.image_vector is not None
        assert (len(row.image_vector), row.image_vector_space) == (512, SPACE)
        assert len(row.image_vector_checksum) == 64
        assert row.image_vector_tried_at is not None
    assert fake.asked == [[url(0), url(1), url(2)]]
    assert "gallery.Artwork: 3 rows, 3 vectors made, 0 failed, 0 as they should be; " in summary


def test_a_row_that_is_as_it_should_be_is_left_alone(fake: Fakes) -> None:
    artworks(3)
    update()
    tried = list(Artwork.objects.values_list("image_vector_tried_at"))

    assert "0 vectors made, 0 failed, 3 as they should be" in update()
    assert len(fake.asked) == 1
    assert list(Artwork.objects.values_list("image_vector_tried_at")) == tried


@pytest.mark.parametrize(
    "changed",
    [{"image_vector": None}, {"image_vector_space": "another"}, {"image": "replaced.jpg"}],
    ids=["has no vector", "has one of another space", "has another picture"],
)
def test_a_row_is_chosen_that(changed: dict[str, Any], fake: Fakes) -> None:
    _, row, _ = artworks(3)
    update()
    Artwork.objects.filter(pk=row.pk).update(**changed)

    assert "3 rows, 1 vectors made" in update()
    row.refresh_from_db()
    assert fake.asked[1:] == [[url("replaced" if "image" in changed else 1)]]
    assert row.image_vector
    assert row.image_vector_space == SPACE


def test_a_row_is_chosen_whose_picture_is_at_another_address(fake: Fakes, site: Site) -> None:
    artworks(1)
    update()

    site({"MEDIA_URL": "https://elsewhere.example.org/"})
    update()

    assert fake.asked[1:] == [["https://elsewhere.example.org/0.jpg"]]


def test_what_is_signed_or_dated_in_an_address_is_no_other_picture(
    fake: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    artworks(1)
    monkeypatch.setattr(FileSystemStorage, "url", lambda _, name: f"https://bucket.example.org/{name}?Signature=1")
    update()
    monkeypatch.setattr(FileSystemStorage, "url", lambda _, name: f"https://bucket.example.org/{name}?Signature=2")

    assert "0 vectors made" in update()
    assert fake.asked == [["https://bucket.example.org/0.jpg?Signature=1"]]


def test_rows_come_by_primary_key_and_each_once(fake: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "ROWS", 3)
    artworks(10)

    with queries() as executed:
        update(batch_size=4)

    assert fake.asked == [[url(number) for number in some] for some in (range(4), range(4, 8), range(8, 10))]
    assert not any("OFFSET" in sql for sql in executed)
    assert sum('"image_vector_is_there"' in sql and "LIMIT" in sql for sql in executed) == 4


def test_so_many_batches_are_under_way_as_are_asked_for(fake: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    artworks(9)
    most = []
    wait = concurrent.futures.wait

    def waiting(under_way: Any, **how: Any) -> Any:
        most.append(len(under_way))
        return wait(under_way, **how)

    monkeypatch.setattr(updating, "wait", waiting)

    update(batch_size=1, concurrency=3)

    assert max(most) == 3
    assert all(vectors().values())


def test_a_limit_holds_for_all_models_together(fake: Fakes, site: Site) -> None:
    site(MODELS=["gallery.Artwork", "gallery.Poster"])
    artworks(3)
    Poster.objects.create(address=url("poster"))
    Poster.objects.create(address=url("poster"))

    update(limit=4)

    assert sum(map(len, fake.asked)) == 4
    assert Poster.objects.filter(image_vector__isnull=False).count() == 1


def test_a_model_can_be_chosen(fake: Fakes, site: Site) -> None:
    site(MODELS=None)
    artworks(1)
    Poster.objects.create(address=url("poster"))

    update("--model", "gallery.Poster")

    assert fake.asked == [[url("poster")]]


@pytest.mark.parametrize("label", ["gallery.None", "None", "gallery.Tag"])
def test_a_model_without_vectors_is_none_to_choose(label: str, fake: Fakes) -> None:
    with pytest.raises(CommandError, match=label):
        update("--model", label)


def test_force_makes_everything_anew(fake: Fakes) -> None:
    artworks(2)
    update()

    assert "2 vectors made" in update(force=True)
    assert len(fake.asked) == 2


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(fake: Fakes) -> None:
    rows = artworks(4)
    Artwork.objects.filter(pk=rows[0].pk).update(
        image_vector=[1.0], image_vector_space="another", image_vector_checksum="another"
    )
    Artwork.objects.create(image="", image_vector_checksum="of one that is gone")

    summary = update(dry_run=True)

    assert (
        "5 rows, 4 to do (3 without a vector, 1 of another model), 0 as they should be, 1 without a picture" in summary
    )
    assert fake.asked == []
    assert vectors()[rows[0].pk] == [1.0]
    assert Artwork.objects.filter(image_vector_checksum="of one that is gone").exists()


def test_who_has_no_picture_any_more_has_no_vector_either(fake: Fakes) -> None:
    (row,) = artworks(1)
    update()
    Artwork.objects.update(image="")

    assert "1 without a picture" in update()

    row.refresh_from_db()
    assert (row.image_vector, row.image_vector_space, row.image_vector_checksum) == (None, "", "")


def test_a_picture_that_cant_be_had_fails_alone(fake: Fakes) -> None:
    rows = artworks(5)
    fake.failures[url(2)] = "image_corrupt"

    with pytest.raises(CommandError, match="1 rows failed"):
        update()

    assert [pk for pk, vector in vectors().items() if not vector] == [rows[2].pk]
    rows[2].refresh_from_db()
    assert rows[2].image_vector_error == "image_corrupt"
    assert rows[2].image_vector_tried_at is not None


def test_what_may_go_well_another_time_is_tried_again_the_next_night(fake: Fakes) -> None:
    (row,) = artworks(1)
    fake.failures[url(0)] = "image_host_timeout"
    with pytest.raises(CommandError):
        update()
    fake.failures.clear()

    assert "1 vectors made" in update()
    row.refresh_from_db()
    assert row.image_vector_error == ""


def test_what_fails_for_good_is_tried_again_once_there_is_another_picture(fake: Fakes) -> None:
    artworks(1)
    fake.failures[url(0)] = "image_not_found"
    with pytest.raises(CommandError):
        update()

    assert "0 vectors made, 0 failed, 0 as they should be, 1 that failed before" in update()
    assert len(fake.asked) == 1
    Artwork.objects.update(image="1.jpg")
    assert "1 vectors made" in update()


def test_what_fails_for_good_is_tried_again_by_force(fake: Fakes) -> None:
    artworks(1)
    fake.failures[url(0)] = "image_not_found"
    with pytest.raises(CommandError):
        update()
    fake.failures.clear()

    assert "1 vectors made" in update(force=True)


def test_the_vector_of_a_picture_that_isnt_there_any_more_goes_when_the_new_one_fails(fake: Fakes) -> None:
    (row,) = artworks(1)
    update()
    fake.failures[url(1)] = "image_corrupt"
    Artwork.objects.update(image="1.jpg")

    with pytest.raises(CommandError):
        update()

    row.refresh_from_db()
    assert (row.image_vector, row.image_vector_space) == (None, "")


def test_a_vector_stays_while_its_picture_only_cant_be_had_now(fake: Fakes) -> None:
    artworks(1)
    update()
    before = vectors()
    fake.failures[url(0)] = "image_not_found"

    with pytest.raises(CommandError):
        update(force=True)

    assert vectors() == before


def test_an_edit_meanwhile_isnt_overwritten(fake: Fakes) -> None:
    first, second = artworks(2, title="before")

    def edit(images: list[Any]) -> None:
        Artwork.objects.filter(pk=first.pk).update(title="after", image="replaced.jpg")
        connection.close()

    fake.before = edit

    assert "1 vectors made, 0 failed, 1 changed meanwhile" in update()

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.title, first.image.name, first.image_vector) == ("after", "replaced.jpg", None)
    assert second.image_vector
    fake.before = lambda images: None
    assert "1 vectors made" in update()
    assert fake.asked[1:] == [[url("replaced")]]


def test_a_row_that_another_command_was_faster_with_keeps_what_that_has_saved(fake: Fakes) -> None:
    (row,) = artworks(1)
    others: dict[str, Any] = {"image_vector": [0.5], "image_vector_space": "another", "image_vector_checksum": "other"}

    def other(images: list[Any]) -> None:
        Artwork.objects.filter(pk=row.pk).update(**others, image_vector_tried_at=timezone.now())
        connection.close()

    fake.before = other

    assert "0 vectors made, 0 failed, 1 changed meanwhile" in update()
    row.refresh_from_db()
    assert {name: getattr(row, name) for name in others} == others


def test_a_row_that_is_deleted_meanwhile_stays_so(fake: Fakes) -> None:
    rows = artworks(2)

    def delete(images: list[Any]) -> None:
        Artwork.objects.filter(pk=rows[0].pk).delete()
        connection.close()

    fake.before = delete

    assert "1 vectors made, 0 failed, 1 changed meanwhile" in update()
    assert list(vectors()) == [rows[1].pk]


def test_a_picture_that_nobody_reaches_from_outside_is_sent_itself(fake: Fakes, site: Site, tmp_path: Path) -> None:
    site({"MEDIA_URL": "/media/"})
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "0.jpg").write_bytes(as_png(painting()))
    artworks(1)

    update()

    assert fake.asked == [[as_png(painting())]]


def test_a_picture_whose_file_is_missing_is_looked_for_again(fake: Fakes, site: Site, tmp_path: Path) -> None:
    site({"MEDIA_URL": "/media/"})
    (row,) = artworks(1)

    with pytest.raises(CommandError):
        update()

    row.refresh_from_db()
    assert row.image_vector_error == "image_unreadable"
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "0.jpg").write_bytes(as_png(painting()))
    assert "1 vectors made" in update()


def test_pictures_that_are_sent_themselves_go_in_batches_of_bounded_size(
    fake: Fakes, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updating, "BATCH_BYTES", 100)
    site({"MEDIA_URL": "/media/"})
    (tmp_path / "media").mkdir()
    for number in range(4):
        (tmp_path / "media" / f"{number}.jpg").write_bytes(b"x" * 60)
    artworks(4)

    update()

    assert list(map(len, fake.asked)) == [2, 2]


def test_a_model_that_fails_at_saying_where_a_picture_is_fails_row_by_row(
    fake: Fakes, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(MODELS=["gallery.Poster"])
    wrong, right = (Poster.objects.create(address=url(number)) for number in range(2))

    def found(self: Poster) -> str:
        return {right.pk: self.address}[self.pk]

    monkeypatch.setattr(Poster, "get_embedding_image", found)

    with pytest.raises(CommandError, match="1 rows failed"):
        update()

    wrong.refresh_from_db()
    right.refresh_from_db()
    assert (wrong.image_vector_error, right.image_vector_error) == ("image_unreadable", "")
    assert right.image_vector


def test_a_picture_may_be_a_file(fake: Fakes, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site(MODELS=["gallery.Poster"])
    (tmp_path / "poster.png").write_bytes(as_png(painting()))
    monkeypatch.setattr(Poster, "get_embedding_image", lambda self: tmp_path / self.address)
    Poster.objects.create(address="poster.png")

    update()

    assert fake.asked == [[as_png(painting())]]


def test_a_picture_in_a_storage_without_addresses_is_sent_itself(
    fake: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_address(*_: Any) -> str:
        raise NotImplementedError

    monkeypatch.setattr(FileSystemStorage, "url", no_address)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "0.jpg").write_bytes(as_png(painting()))
    artworks(1)

    update()

    assert fake.asked == [[as_png(painting())]]


def test_the_picture_may_be_an_image_of_wagtails(fake: Fakes, site: Site) -> None:
    site(MODELS=["gallery.Room"])
    scan = Scan(file="scan.jpg", width=1, height=1)
    Scan.objects.bulk_create([scan])
    Room.objects.create(image=Scan.objects.only("pk").get())
    Room.objects.create(image=None)

    with queries() as executed:
        summary = update()

    assert "2 rows, 1 vectors made, 0 failed, 0 as they should be, 1 without a picture" in summary
    assert fake.asked == [[url("scan")]]
    assert len([sql for sql in executed if "gallery_scan" in sql]) == 2  # one to choose, one before it is saved


def test_a_second_run_asks_for_no_more_than_it_needs(fake: Fakes) -> None:
    artworks(30, title="a title")
    update()

    with queries() as executed:
        update()

    assert len(executed) == 2
    assert not any('"title"' in sql or '"gallery_artwork"."image_vector",' in sql for sql in executed)


@pytest.mark.parametrize("batch_size", ["0", "-1", "257"])
def test_a_batch_has_as_many_as_the_service_takes(batch_size: str, fake: Fakes) -> None:
    with pytest.raises(CommandError, match="batch-size"):
        update("--batch-size", batch_size)


def test_without_a_service_there_is_nothing_to_do(site: Site) -> None:
    site(SERVICE_URL="")
    artworks(1)

    assert "switched off" in update()


def test_rows_that_fail_are_named(fake: Fakes) -> None:
    (row,) = artworks(1)
    fake.failures[url(0)] = "image_corrupt"
    out = StringIO()

    with pytest.raises(CommandError):
        call_command("update_embeddings", stdout=out)

    assert f"gallery.Artwork {row.pk}: image_corrupt: " in out.getvalue()


def test_a_database_that_doesnt_let_us_is_named(fake: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    artworks(1)

    def locked(*_: Any, **__: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(QuerySet, "update", locked)

    with pytest.raises(CommandError, match="The database doesn't do it: database is locked"):
        update()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("out", "shown"), [(Terminal(), "\r1\r2\r \rend\n"), (StringIO(), "2\nend\n")])
def test_progress_is_a_line_on_a_terminal_and_lines_elsewhere(out: StringIO, shown: str) -> None:
    times = iter([0.0, 1.0, 1.1, 40.0])
    progress = Progress(OutputWrapper(out), now=lambda: next(times))

    progress.show(lambda: "1")
    progress.show(lambda: "1")
    progress.show(lambda: "2")
    progress.say("end")

    assert out.getvalue() == shown


@pytest.mark.slow
def test_a_second_run_over_2000_rows_takes_2_s_at_most(fake: Fakes) -> None:
    Artwork.objects.bulk_create(Artwork(image=f"{number}.jpg") for number in range(2000))
    assert "2,000 vectors made" in update(batch_size=256)
    began_at = time.monotonic()

    assert "2,000 as they should be" in update()

    assert time.monotonic() - began_at < 2
