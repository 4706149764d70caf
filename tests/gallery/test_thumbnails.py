"""Thumbnails: made once, kept within bounds, of pictures that may be had."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import pytest
from app.config import Settings
from app.errors import ImageCorrupt, ImageHostFailed, ImageNotFound, NotAnImage, ServiceError, UrlForbidden
from app.gallery import kept, thumbnails
from app.gallery.kept import Kept
from app.gallery.originals import Originals
from app.gallery.shown import Picture
from app.gallery.thumbnails import REMEMBERED_S, Thumbnails
from app.images.budget import ByteBudget
from app.images.decode import look
from app.images.decoders import Decoders, Seen
from app.images.fetch import Fetcher
from app.images.thumbnail import MAX_BYTES
from PIL import Image
from starlette.testclient import TestClient

from tests.gallery.conftest import encoded, noise
from tests.gallery.markup import Tag, read
from tests.gallery.policies import directives
from tests.images.hosts import Host, content

PICTURE = encoded(noise(900, 600))


class Decoding:
    """Decodes in this process, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.begun = asyncio.Event()

    async def look(self, data: bytes, thumbnail: Any) -> Seen:
        self.asked.append(data)
        self.begun.set()
        await asyncio.sleep(0)  # others ask meanwhile
        picture, pixels = look(data, 10_000_000, thumbnail)
        return Seen(pixels, picture.width, picture.height)


@pytest.fixture
def decoding() -> Decoding:
    return Decoding()


@pytest.fixture
def host() -> Iterator[Host]:
    """An image host with a picture at /a.jpg, and others that it hasn't, can't read, or can't give now."""
    host = Host()
    host.answers["/a.jpg"] = content(PICTURE)
    host.answers["/gone.jpg"] = lambda request: request.send_error(404)
    host.answers["/busy.jpg"] = lambda request: request.send_error(503)
    host.answers["/words.jpg"] = content(b"no picture at all")
    yield host
    host.close()


@pytest.fixture
def using(tmp_path: Path, decoding: Decoding) -> Callable[..., Any]:
    """Does something with thumbnails of pictures in a folder, `images`, that are kept in another, `kept`."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[Thumbnails]:
        usual = {"allow_private_networks": True, "gallery_cache_dir": tmp_path / "kept"}
        settings = Settings.load(**usual | changes)
        fetcher = Fetcher(settings, "tate-embeddings/test")
        originals = Originals(tmp_path / "images", settings.max_image_bytes)
        budget = ByteBudget(10 * settings.max_image_bytes)
        try:
            yield Thumbnails(settings, originals, fetcher, cast(Decoders, decoding), budget)
        finally:
            await fetcher.close()

    def use(work: Callable[[Thumbnails], Coroutine[Any, Any, Any]], **changes: Any) -> Any:
        async def run() -> Any:
            async with opened(**changes) as made:
                return await work(made)

        return asyncio.run(run())

    (tmp_path / "images").mkdir()
    return use


def lying(tmp_path: Path, data: bytes = PICTURE) -> Picture:
    """A picture in the folder."""
    (tmp_path / "images" / "a.jpg").write_bytes(data)
    return Picture("a.jpg", None, "1")


def size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


async def failure(made: Thumbnails, picture: Picture) -> type[ServiceError] | None:
    """Why there is no thumbnail."""
    try:
        await made.get(picture, "small", "WEBP")
    except ServiceError as error:
        return type(error)
    return None


def test_there_are_a_small_one_and_a_large_one_of_either_kind(using: Any, tmp_path: Path) -> None:
    picture = lying(tmp_path, encoded(noise(30, 20).resize((3000, 2000))))

    async def work(made: Thumbnails) -> list[bytes]:
        return [
            await made.get(picture, "small", "WEBP"),
            await made.get(picture, "large", "WEBP"),
            await made.get(picture, "large", "JPEG"),
        ]

    found = using(work)

    assert [size_of(data) for data in found] == [(480, 320), (1280, 853), (1280, 853)]
    assert [Image.open(io.BytesIO(data)).format for data in found] == ["WEBP", "WEBP", "JPEG"]
    assert max(map(len, found)) <= MAX_BYTES


def test_it_is_made_once_for_all_who_ask_at_the_same_time(using: Any, tmp_path: Path, decoding: Decoding) -> None:
    picture = lying(tmp_path)

    async def work(made: Thumbnails) -> list[bytes]:
        return await asyncio.gather(*(made.get(picture, "small", "WEBP") for _ in range(20)))

    assert len(set(using(work))) == 1
    assert len(decoding.asked) == 1


def test_whoever_goes_leaves_it_to_the_others(using: Any, tmp_path: Path, decoding: Decoding) -> None:
    picture = lying(tmp_path)

    async def work(made: Thumbnails) -> bytes:
        first = asyncio.create_task(made.get(picture, "small", "WEBP"))
        second = asyncio.create_task(made.get(picture, "small", "WEBP"))
        await decoding.begun.wait()
        first.cancel()
        return await second

    assert size_of(using(work)) == (480, 320)
    assert len(decoding.asked) == 1


def test_it_is_found_by_another_process(using: Any, tmp_path: Path, decoding: Decoding) -> None:
    picture = lying(tmp_path)

    async def work(made: Thumbnails) -> bytes:
        return await made.get(picture, "small", "WEBP")

    first = using(work)
    (tmp_path / "images" / "a.jpg").unlink()

    assert using(work) == first
    assert len(decoding.asked) == 1


def test_another_version_is_made_anew(using: Any, tmp_path: Path, decoding: Decoding) -> None:
    picture = lying(tmp_path)

    async def work(made: Thumbnails) -> None:
        await made.get(picture, "small", "WEBP")
        await made.get(Picture("a.jpg", None, "2"), "small", "WEBP")

    using(work)

    assert len(decoding.asked) == 2


def test_a_picture_that_isnt_in_the_folder_is_fetched(using: Any, host: Host) -> None:
    picture = Picture("not/there.jpg", host.url("/a.jpg"), "1")

    assert size_of(using(lambda made: made.get(picture, "small", "WEBP"))) == (480, 320)
    assert len(host.asked) == 1


def test_a_picture_in_the_folder_isnt_fetched(using: Any, tmp_path: Path, host: Host) -> None:
    lying(tmp_path)
    picture = Picture("a.jpg", host.url("/a.jpg"), "1")

    using(lambda made: made.get(picture, "small", "WEBP"))

    assert not host.asked


def test_addresses_of_a_private_network_are_refused(using: Any, host: Host) -> None:
    picture = Picture(None, host.url("/a.jpg"), "1")

    assert using(lambda made: failure(made, picture), allow_private_networks=False) is UrlForbidden
    assert not host.asked


def test_other_hosts_than_those_that_are_allowed_are_refused(using: Any, host: Host) -> None:
    picture = Picture(None, host.url("/a.jpg"), "1")

    assert using(lambda made: failure(made, picture), allowed_image_hosts="media.example.org") is UrlForbidden
    assert not host.asked


@pytest.mark.parametrize(
    ("path", "kind", "asked"),
    [("/gone.jpg", ImageNotFound, 1), ("/busy.jpg", ImageHostFailed, 3), ("/words.jpg", NotAnImage, 1)],
)
def test_what_cant_be_had_is_asked_for_once_in_a_while(
    using: Any, host: Host, monkeypatch: pytest.MonkeyPatch, path: str, kind: type[ServiceError], asked: int
) -> None:
    picture = Picture(None, host.url(path), "1")
    now = 1000.0
    monkeypatch.setattr(thumbnails, "monotonic", lambda: now)

    async def work(made: Thumbnails) -> None:
        nonlocal now
        for _ in range(5):
            assert await failure(made, picture) is kind
        assert len(host.asked) == asked
        now += REMEMBERED_S + 1
        assert await failure(made, picture) is kind
        assert len(host.asked) == 2 * asked

    using(work)


def test_what_was_mended_is_shown_once_that_is_forgotten(
    using: Any, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Picture(None, host.url("/gone.jpg"), "1")
    now = 1000.0
    monkeypatch.setattr(thumbnails, "monotonic", lambda: now)

    async def work(made: Thumbnails) -> None:
        nonlocal now
        assert await failure(made, picture) is ImageNotFound
        host.answers["/gone.jpg"] = content(PICTURE)
        now += REMEMBERED_S + 1
        assert await failure(made, picture) is None

    using(work)


def test_not_without_end_many_failures_are_remembered(using: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "MOST_REMEMBERED", 3)

    async def work(made: Thumbnails) -> int:
        for number in range(10):
            assert await failure(made, Picture(None, None, str(number))) is ImageNotFound
        return len(made._failures)

    assert using(work) <= 3


def test_a_picture_that_is_damaged_is_decoded_once(using: Any, tmp_path: Path, decoding: Decoding) -> None:
    picture = lying(tmp_path, PICTURE[:900])

    async def work(made: Thumbnails) -> None:
        for _ in range(3):
            assert await failure(made, picture) is ImageCorrupt

    using(work)

    assert len(decoding.asked) == 1


def test_a_folder_that_cant_be_written_is_only_warned_of(
    using: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kept").write_text("no folder")
    picture = lying(tmp_path)

    async def work(made: Thumbnails) -> list[bytes]:
        return [await made.get(picture, size, "WEBP") for size in ("small", "large")]

    assert all(using(work))
    (warning,) = [line for line in caplog.messages if "nothing can be kept" in line]
    assert str(tmp_path / "kept") in warning


# What is kept


DIGESTS = [f"{number:064x}" for number in range(0, 2560, 256)]


@pytest.fixture
def crowded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Room for ten files of ten bytes, of which the first was asked for the longest ago."""
    monkeypatch.setattr(kept, "LOOK_EVERY_BYTES", 10)
    files = Kept(tmp_path, 100)
    for age, digest in enumerate(DIGESTS):
        files.keep(digest, b"x" * 10)
        os.utime(tmp_path / digest[:2] / digest, (1000 + age, 1000 + age))
    return files


def there(files: Kept) -> list[str]:
    return [digest for digest in DIGESTS if files._file(digest).exists()]


def test_while_there_is_room_nothing_goes(crowded: Kept) -> None:
    assert there(crowded) == DIGESTS


def test_without_room_those_go_that_nobody_has_asked_for_in_the_longest_time(crowded: Kept) -> None:
    crowded.keep("f" * 64, b"x" * 10)

    assert there(crowded) == DIGESTS[3:]


def test_what_was_asked_for_stays(crowded: Kept) -> None:
    crowded.get(DIGESTS[0])
    crowded.keep("f" * 64, b"x" * 10)

    assert there(crowded) == [DIGESTS[0], *DIGESTS[4:]]


def test_what_earlier_processes_have_left_counts(crowded: Kept, tmp_path: Path) -> None:
    Kept(tmp_path, 30).keep("f" * 64, b"x")

    assert len(there(crowded)) <= 3


def test_whats_half_written_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Kept(tmp_path, 100)

    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        files.keep(DIGESTS[0], b"data")

    assert files.get(DIGESTS[0]) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def _unlinking(entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for entry in entries:
        Path(entry.path).unlink()
        yield entry


def test_what_another_process_takes_away_meanwhile_is_no_matter(
    crowded: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scandir = os.scandir

    def just_gone(path: Any) -> Any:
        entries = scandir(path)
        return entries if path == crowded._folder else closing(_unlinking(entries))

    monkeypatch.setattr(os, "scandir", just_gone)
    crowded.keep("f" * 64, b"x" * 10)

    assert not caplog.messages


def test_files_that_arent_its_own_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LOOK_EVERY_BYTES", 1)
    other = tmp_path / "ab" / "ab12ffee.jpg"
    other.parent.mkdir()
    other.write_bytes(b"x" * 1000)
    os.utime(other, (0, 0))

    Kept(tmp_path, 10).keep(DIGESTS[0], b"x")

    assert other.exists()


# Over HTTP


def images(gallery: TestClient, path: str = "?q=dogs") -> list[Tag]:
    return [tag for tag in read(gallery.get(f"/gallery{path}")).all("img") if "id=work-20" in tag["src"]]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("image/avif,image/webp,*/*", "image/webp"), ("image/png,*/*", "image/jpeg"), ("", "image/jpeg")],
)
def test_browsers_get_the_kind_that_they_read(gallery: TestClient, accept: str, kind: str) -> None:
    answer = gallery.get("/gallery/thumbnail?id=work-20", headers={"Accept": accept})

    assert (answer.status_code, answer.headers["content-type"], answer.headers["vary"]) == (200, kind, "Accept")
    assert f"image/{Image.open(io.BytesIO(answer.content)).format}".lower() == kind
    assert "sandbox" in directives(answer)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_show_thumbnails_that_are_kept_for_good(gallery: TestClient) -> None:
    (small,) = images(gallery)
    large = images(gallery, "/item?id=work-20")[0]

    for tag in (small, large):
        answer = gallery.get(tag["src"])
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert size_of(answer.content) == (90, 60)


@pytest.mark.parametrize("version", ["", "&v=", "&v=another"])
def test_a_thumbnail_without_its_version_is_kept_for_a_moment(gallery: TestClient, version: str) -> None:
    answer = gallery.get(f"/gallery/thumbnail?id=work-20{version}")

    assert answer.headers["cache-control"] == "public, max-age=60"


def test_what_a_browser_has_isnt_sent_again(gallery: TestClient) -> None:
    first = gallery.get("/gallery/thumbnail?id=work-20")

    again = gallery.get("/gallery/thumbnail?id=work-20", headers={"If-None-Match": f'"x", {first.headers["etag"]}'})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert again.headers["cache-control"] == first.headers["cache-control"]


def test_each_size_and_kind_has_a_mark_of_its_own(gallery: TestClient) -> None:
    marks = {
        gallery.get(f"/gallery/thumbnail?id=work-20&size={size}", headers={"Accept": accept}).headers["etag"]
        for size in ("small", "large", "huge")
        for accept in ("image/webp", "*/*")
    }

    assert len(marks) == 4


@pytest.mark.parametrize(("item", "status"), [("work-05", 422), ("work-11", 404)])
def test_a_picture_that_isnt_there_is_no_thumbnail(gallery: TestClient, item: str, status: int) -> None:
    answer = gallery.get(f"/gallery/thumbnail?id={item}")

    assert answer.status_code == status
    assert "immutable" not in answer.headers["cache-control"]
