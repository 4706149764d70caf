"""Vectors in a column of pgvector's, in a real PostgreSQL."""

import random
from collections.abc import Callable, Iterator
from operator import mul
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from pgvector.django import HnswIndex

from tate_embeddings_client.testing import FakeClient
from tate_embeddings_django.search import search_embeddings
from tests.clients.django.conftest import SPACE, Fakes, queries, update
from tests.clients.django.pg.models import Painting
from tests.clients.django.test_search import drawn, kept
from tests.search.stores import postgresql

Site = Callable[..., None]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _database() -> Iterator[None]:
    name = postgresql.new_database()
    with postgresql.administrator(name) as connection:
        connection.execute("CREATE EXTENSION vector")
    socket = postgresql.server().get_postmaster_info().socket_dir
    connections["postgresql"].settings_dict.update(NAME=name, USER="postgres", HOST=str(socket))
    call_command("migrate", database="postgresql", run_syncdb=True, verbosity=0)
    yield
    connections["postgresql"].close()


@pytest.fixture(autouse=True)
def _searched(site: Site) -> Iterator[None]:
    site(MODELS=["pg.Painting"], BACKEND="pgvector")
    yield
    Painting.objects.all().delete()


def hang(count: int) -> None:
    Painting.objects.bulk_create(
        Painting(title=str(number), year=1800 + number, **kept(drawn(str(number)))) for number in range(count)
    )


def nearest(count: int, query: str = "a sea") -> list[str]:
    sought = FakeClient().embed_text(query).vector
    return sorted(map(str, range(count)), key=lambda name: -sum(map(mul, drawn(name), sought)))


def test_rows_get_vectors(fake: Fakes) -> None:
    for number in range(5):
        Painting.objects.create(image=f"{number}.jpg")

    assert "5 vectors made" in update(batch_size=2)
    assert "5 as they should be" in update()
    for row in Painting.objects.all():
        assert (len(row.image_vector), row.image_vector_space) == (512, SPACE)


def test_a_failure_takes_the_vector_of_the_picture_before(fake: Fakes) -> None:
    row = Painting.objects.create(image="0.jpg")
    update()
    Painting.objects.update(image="1.jpg")
    fake.failures["https://media.example.org/1.jpg"] = "image_corrupt"

    with pytest.raises(CommandError):
        update()

    row.refresh_from_db()
    assert row.image_vector is None


def test_another_count_of_numbers_than_the_column_has_ends_the_run(fake: Fakes) -> None:
    row = Painting.objects.create(image="0.jpg")
    fake.dimensions = 640

    with pytest.raises(CommandError, match=r"have 640 numbers, and pg\.Painting\.image_vector takes 512"):
        update()

    row.refresh_from_db()
    assert row.image_vector is None


@pytest.mark.usefixtures("fake")
def test_the_nearest_rows_come_first_with_their_cosines() -> None:
    hang(30)

    found = search_embeddings("a sea", k=5)

    sought = FakeClient().embed_text("a sea").vector
    assert [scored.object.title for scored in found] == nearest(30)[:5]
    for scored in found:
        assert scored.score == pytest.approx(sum(map(mul, drawn(scored.object.title), sought)), abs=1e-5)


@pytest.mark.usefixtures("fake")
def test_only_vectors_of_the_services_space_are_found() -> None:
    hang(3)
    Painting.objects.filter(title="1").update(image_vector_space="another")
    Painting.objects.create(title="none")

    assert {scored.object.title for scored in search_embeddings("a sea")} == {"0", "2"}


@pytest.mark.usefixtures("fake")
def test_filters_are_those_of_querysets() -> None:
    hang(20)

    found = search_embeddings("a sea", k=3, filters={"year__gte": 1818})

    assert {scored.object.title for scored in found} == {"18", "19"}


def test_a_service_of_another_count_of_numbers_finds_nothing(fake: Fakes) -> None:
    hang(1)
    fake.dimensions = 640

    assert search_embeddings("a sea") == []


@pytest.mark.usefixtures("fake")
def test_all_that_is_compared_is_compared_in_the_database() -> None:
    hang(3)

    with queries("postgresql") as executed:
        search_embeddings("a sea")

    (search,) = [sql for sql in executed if "<=>" in sql]
    assert '"image_vector",' not in search


@pytest.fixture
def indexed() -> Iterator[None]:
    index = HnswIndex(name="nearest", fields=["image_vector"], opclasses=["vector_cosine_ops"])
    with connections["postgresql"].schema_editor() as editor:
        editor.add_index(Painting, index)
    yield
    with connections["postgresql"].schema_editor() as editor:
        editor.remove_index(Painting, index)


@pytest.mark.usefixtures("fake", "indexed")
def test_an_index_is_followed_until_there_are_enough_of_the_space() -> None:
    hang(300)
    names = random.Random(0).sample(sorted(map(str, range(300))), 250)
    Painting.objects.filter(title__in=names).update(image_vector_space="another")

    with connections["postgresql"].cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        found: Any = search_embeddings("a sea", k=45)
        cursor.execute("RESET enable_seqscan")

    wanted = [name for name in nearest(300) if name not in names]
    assert len({scored.object.title for scored in found} & set(wanted[:45])) >= 43
    assert len(found) == 45


@pytest.mark.usefixtures("fake")
def test_vectors_in_a_column_can_be_compared_here_too(site: Site) -> None:
    site(BACKEND="exact")
    hang(10)

    assert [scored.object.title for scored in search_embeddings("a sea", k=3)] == nearest(10)[:3]
