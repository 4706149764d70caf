"""What a model tells about its picture, and what it keeps."""

from typing import Any

import pytest

from tate_embeddings_django.models import FIELDS, ImageVectorMixin, checksum
from tests.clients.django.conftest import url
from tests.clients.django.gallery.models import Artwork, Poster, Room, Scan


def test_the_vector_is_the_last_column() -> None:
    assert FIELDS[-1] == "image_vector"


def test_a_picture_is_told_by_its_stored_name_and_its_address() -> None:
    assert checksum(Artwork(image="1.jpg")) == checksum(Artwork(image="1.jpg"))
    assert len({checksum(Artwork(image="1.jpg")), checksum(Artwork(image="2.jpg")), checksum(Artwork())}) == 3


def test_a_picture_of_the_models_own_is_told_by_what_the_model_says() -> None:
    assert checksum(Poster(address=url(1))) == checksum(Poster(address=url(1))) != checksum(Poster(address=url(2)))
    assert checksum(Poster(address="")) is None


def test_bytes_of_the_models_own_are_told_by_their_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Poster, "get_embedding_image", lambda self: self.address.encode())

    assert checksum(Poster(address="1")) == checksum(Poster(address="1")) != checksum(Poster(address="2"))
    assert checksum(Poster(address="")) is None


def test_the_picture_of_a_model_with_images_of_their_own_is_the_images_file() -> None:
    room = Room(image=Scan(file="scan.jpg", width=1, height=1))

    assert room.get_embedding_image() == url("scan")
    assert Room().get_embedding_image() is None


def test_a_picture_may_be_at_another_host_than_the_site_says(site: Any) -> None:
    site({"MEDIA_URL": "/media/"}, MEDIA_BASE_URL="https://www.example.org")

    assert Artwork(image="1.jpg").get_embedding_image() == "https://www.example.org/media/1.jpg"


def test_an_older_revision_has_the_vector_of_now() -> None:
    class Revised:
        """As Wagtail's revisions do it."""

        def with_content_json(self, content: dict[str, Any]) -> Artwork:
            return Artwork(**content)

    class Page(ImageVectorMixin, Revised):
        class Meta:
            abstract = True

        def __init__(self) -> None:
            self.image_vector, self.image_vector_space, self.image_vector_checksum = [1.0], "now", "now"
            self.image_vector_error, self.image_vector_tried_at = "", None

    revised = Page().with_content_json({"title": "of then", "image_vector": [0.5], "image_vector_space": "then"})

    assert (revised.title, revised.image_vector, revised.image_vector_space) == ("of then", [1.0], "now")
