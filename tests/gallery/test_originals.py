"""Pictures as they lie in a folder: those that are in it, and no others."""

from pathlib import Path

import pytest
from app.embeddings import EmbeddingModel
from app.errors import TooLarge
from app.gallery.originals import Originals
from app.gallery.shown import Picture
from starlette.testclient import TestClient

from tests.conftest import MakeSettings, Serving
from tests.gallery.conftest import encoded, filled, name_of, noise, unit
from tests.gallery.markup import read
from tests.gallery.policies import directives


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a picture, and something else beside it."""
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    pictures = tmp_path / "images"
    (pictures / "ab").mkdir(parents=True)
    (pictures / "ab" / "ab12.jpg").write_bytes(b"picture")
    return pictures


def read_from(folder: Path | None, path: str | None) -> bytes | None:
    return Originals(folder, 100).read(Picture(path, None, "1"))


@pytest.mark.parametrize("path", ["ab/ab12.jpg", "images/ab/ab12.jpg", "/var/lib/catalogue/images/ab/ab12.jpg"])
def test_a_picture_is_found_by_its_name_wherever_the_catalogue_had_it(pictures: Path, path: str) -> None:
    assert read_from(pictures, path) == b"picture"


@pytest.mark.parametrize("path", ["ab/ab13.jpg", "ab", "", ".", "/", "ab12.jpg", "a" * 5000, "ab/ab12.jpg/x", None])
def test_what_isnt_there_is_none(pictures: Path, path: str | None) -> None:
    assert read_from(pictures, path) is None


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jpg",
        "ab/../../secret.jpg",
        "./../secret.jpg",
        "x/../secret.jpg",
        "//../secret.jpg",
        "ab/ab12.jpg\0",
        "../secret.jpg\0.png",
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "..\\secret.jpg",
    ],
)
def test_nothing_outside_the_folder_is_read(pictures: Path, path: str) -> None:
    assert read_from(pictures, path) is None


def test_an_absolute_path_leads_nowhere_but_into_the_folder(pictures: Path) -> None:
    assert read_from(pictures, str(pictures.parent / "secret.jpg")) is None


def test_a_link_that_leads_out_is_not_followed(pictures: Path) -> None:
    (pictures / "file.jpg").symlink_to(pictures.parent / "secret.jpg")
    (pictures / "out").symlink_to(pictures.parent)
    (pictures / "circle").symlink_to(pictures / "circle")

    assert [read_from(pictures, path) for path in ("file.jpg", "out/secret.jpg", "circle")] == [None] * 3


def test_a_link_within_the_folder_is_followed(pictures: Path) -> None:
    (pictures / "same.jpg").symlink_to("ab/ab12.jpg")

    assert read_from(pictures, "same.jpg") == b"picture"


def test_a_folder_may_be_a_link_itself(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(pictures)

    assert read_from(tmp_path / "current", "ab/ab12.jpg") == b"picture"


def test_without_a_folder_nothing_is_read(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures)

    assert read_from(None, "ab/ab12.jpg") is None


def test_a_picture_that_is_too_large_isnt_read_to_its_end(pictures: Path) -> None:
    (pictures / "large.jpg").write_bytes(b"x" * 101)

    with pytest.raises(TooLarge):
        read_from(pictures, "large.jpg")


def test_an_original_is_a_picture_that_can_do_nothing(gallery: TestClient) -> None:
    answer = gallery.get("/gallery/original?id=work-10")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.content == encoded(noise(90, 60, 10))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in directives(answer)
    assert directives(answer)["default-src"] == ["'none'"]


def test_pages_link_to_the_originals_that_there_are(gallery: TestClient) -> None:
    originals = {
        item: [tag["href"] for tag in read(gallery.get("/gallery/item", params={"id": item})).all("a")]
        for item in ("work-10", "work-05", "work-11")
    }

    has = {item: f"/gallery/original?id={item}" in links for item, links in originals.items()}
    assert has == {"work-10": True, "work-05": False, "work-11": False}


@pytest.mark.parametrize("item", ["work-05", "work-11"])
def test_an_original_that_isnt_there_is_a_page(gallery: TestClient, item: str) -> None:
    answer = gallery.get("/gallery/original", params={"id": item})

    assert answer.status_code == 422
    read(answer)


def test_what_lies_beside_the_pictures_and_is_none_isnt_shown(
    serving: Serving, make_settings: MakeSettings, model: EmbeddingModel, tmp_path: Path
) -> None:
    (tmp_path / "page.jpg").write_bytes(b"<script>alert(1)</script>")
    items = {name: {"image": {"path": name}} for name in ("faiss.index", "page.jpg")}
    url = filled(tmp_path, model, items, list(unit(2)))
    with serving(make_settings(index_url=url, gallery_access="public", gallery_cache_dir=tmp_path / "kept")) as client:
        answers = [client.get(f"/gallery/{kind}?id={item}") for item in items for kind in ("original", "thumbnail")]

    assert [answer.status_code for answer in answers] == [422] * 4
    for answer in answers:
        read(answer)


def test_pictures_may_lie_elsewhere(
    serving: Serving, make_settings: MakeSettings, index_url: str, tmp_path: Path
) -> None:
    elsewhere = tmp_path / name_of(5)
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(encoded(noise(9, 9)))
    settings = make_settings(index_url=index_url, gallery_access="public", gallery_pictures_dir=tmp_path)
    with serving(settings) as client:
        assert client.get("/gallery/original?id=work-05").content == encoded(noise(9, 9))
        assert client.get("/gallery/original?id=work-10").status_code == 422
