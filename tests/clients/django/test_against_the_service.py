"""The app and the real service, on the bundled model."""

from collections.abc import Callable
from pathlib import Path

import pytest
from app.demo.artworks import collection
from app.demo.captions import attributes
from app.demo.gallery import FIRST_SEED
from app.demo.painter import paint
from django.core.management import CommandError

from tate_embeddings_django.search import search_embeddings
from tests.callers.conftest import Instance
from tests.callers.conftest import instance as instance
from tests.clients.django.conftest import update
from tests.clients.django.gallery.models import Artwork

Site = Callable[..., None]
pytestmark = pytest.mark.slow
COUNT = 24


@pytest.fixture
def subjects(instance: Instance, site: Site, tmp_path: Path) -> dict[str, str | None]:
    """What is to be seen on the pictures of rows, by their titles."""
    site({"MEDIA_URL": "/media/"}, SERVICE_URL=instance.url, SERVICE_TOKEN=instance.token, SEARCH_TIMEOUT_S=20)
    media = tmp_path / "media"
    media.mkdir()
    seen: dict[str, str | None] = {}
    for scene, work in collection(FIRST_SEED, COUNT):
        name = f"{len(seen)}.jpg"
        paint(scene, 224).save(media / name)
        Artwork.objects.create(title=name, image=name, year=work.year)
        seen[name] = attributes(scene)["subject"]
    return seen


def test_pictures_are_found_by_what_is_to_be_seen_on_them(subjects: dict[str, str | None]) -> None:
    assert f"{COUNT} vectors made, 0 failed" in update(batch_size=10)

    subject = next(subject for subject in subjects.values() if subject)
    found = search_embeddings(subject, k=COUNT)

    showing = [place for place, scored in enumerate(found) if subjects[scored.object.title] == subject]
    assert len(found) == COUNT
    assert showing[0] < 5
    assert all(-1 <= scored.score <= 1 for scored in found)


def test_a_corrupt_picture_in_the_middle_fails_alone(subjects: dict[str, str | None], tmp_path: Path) -> None:
    file = tmp_path / "media" / "11.jpg"
    file.write_bytes(file.read_bytes()[:300])

    with pytest.raises(CommandError, match="1 rows failed"):
        update()

    (row,) = Artwork.objects.filter(image_vector__isnull=True)
    assert (row.title, row.image_vector_error) == ("11.jpg", "image_corrupt")


def test_a_host_that_the_service_may_not_reach_fails_row_by_row(subjects: dict[str, str | None], site: Site) -> None:
    Artwork.objects.exclude(title="0.jpg").delete()
    site({"MEDIA_URL": "http://169.254.169.254/"})

    with pytest.raises(CommandError, match="1 rows failed"):
        update()

    assert Artwork.objects.get().image_vector_error == "url_forbidden"


def test_a_wrong_token_is_told_from_another_failure(subjects: dict[str, str | None], site: Site) -> None:
    site(SERVICE_TOKEN="not-the-token")

    with pytest.raises(CommandError, match="doesn't know SERVICE_TOKEN"):
        update()

    assert search_embeddings("a sea") == []
