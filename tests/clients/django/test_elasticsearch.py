"""Elasticsearch's index of vectors, with a stand-in that takes nothing but what is documented."""

import time
from collections.abc import Callable, Iterator
from io import StringIO
from operator import mul
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from elasticsearch import Elasticsearch

from tate_embeddings_client.testing import FakeClient
from tate_embeddings_django import paging, service, vector_index
from tate_embeddings_django.backends import elasticsearch as backend
from tate_embeddings_django.search import search_embeddings
from tests.clients.django.conftest import SPACE, Fakes
from tests.clients.django.gallery.models import Artwork
from tests.clients.django.test_search import drawn, hang, titles
from tests.search.elasticsearch.stand_in import StandIn, standing_in

Site = Callable[..., None]
ALIAS = f"artworks-vectors-gallery-artwork-{SPACE}"


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with standing_in() as stand_in:
        yield stand_in


@pytest.fixture(autouse=True)
def _searched(fake: Fakes, site: Site, stand_in: StandIn) -> None:
    site(BACKEND="elasticsearch", ELASTICSEARCH_URL=f"http://127.0.0.1:{stand_in.port}")


@pytest.fixture
def client(stand_in: StandIn) -> Iterator[Elasticsearch]:
    with Elasticsearch(f"http://127.0.0.1:{stand_in.port}") as client:
        yield client


def rebuild(*arguments: str) -> str:
    out = StringIO()
    call_command("rebuild_vector_index", *arguments, stdout=out)
    return out.getvalue()


def hung(count: int) -> list[Artwork]:
    return [hang(str(number), year=1800 + number) for number in range(count)]


def nearest(count: int) -> list[str]:
    sought = FakeClient().embed_text("a sea").vector
    return sorted(map(str, range(count)), key=lambda name: -sum(map(mul, drawn(name), sought)))


def test_the_nearest_rows_come_first_with_their_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "ROWS", 7)
    hung(30)

    assert "gallery.Artwork: 30 vectors in artworks-vectors-gallery-artwork-fake-" in rebuild()

    found = search_embeddings("a sea", k=5)
    sought = FakeClient().embed_text("a sea").vector
    assert titles(found) == nearest(30)[:5]
    for scored in found:
        assert scored.score == pytest.approx(sum(map(mul, drawn(scored.object.title), sought)), abs=1e-5)


def test_an_index_takes_the_place_of_the_one_before(stand_in: StandIn) -> None:
    hung(2)
    rebuild()
    (before,) = stand_in.cluster.indexes
    hang("new")

    rebuild()

    (after,) = stand_in.cluster.indexes
    assert before != after
    assert [*stand_in.cluster.indexes[after].aliases] == [ALIAS]
    assert "new" in titles(search_embeddings("a sea"))


def test_while_an_index_is_filled_the_one_before_is_searched(stand_in: StandIn) -> None:
    hung(2)
    rebuild()
    found = []
    stand_in.before = lambda asked: found.extend(search_embeddings("a sea")) if "_bulk" in str(asked) else None

    rebuild()

    assert len(found) == 2


def test_an_index_that_cant_be_filled_leaves_the_one_before(stand_in: StandIn) -> None:
    hung(2)
    rebuild()
    before = set(stand_in.cluster.indexes)
    stand_in.fail("_bulk", 503)

    with pytest.raises(CommandError, match="Elasticsearch doesn't do it: it answers 503 as_the_test_wants_it"):
        rebuild()

    assert set(stand_in.cluster.indexes) == before
    assert len(search_embeddings("a sea")) == 2


def test_a_row_that_is_refused_ends_the_rebuild_by_name(stand_in: StandIn) -> None:
    first, _ = hung(2)
    stand_in.cluster.refused_items[str(first.pk)] = (400, "document_parsing_exception")

    with pytest.raises(CommandError, match=f"refuses row {first.pk}: document_parsing_exception"):
        rebuild()

    assert stand_in.cluster.indexes == {}


def test_without_vectors_of_the_services_model_nothing_is_put_in_place(stand_in: StandIn, fake: Fakes) -> None:
    hung(1)
    rebuild()
    fake.space = "another"

    with pytest.raises(CommandError, match=r"No row of gallery\.Artwork has a vector of the service's model yet"):
        rebuild()

    assert len(stand_in.cluster.indexes) == 1


def test_two_models_of_the_service_have_an_index_each_until_the_site_has_changed_over(fake: Fakes) -> None:
    old, _ = hung(2)
    rebuild()
    fake.space = "another"
    Artwork.objects.filter(pk=old.pk).update(image_vector_space="another")

    assert f"the index of another model is still there as {ALIAS}" in rebuild()

    assert titles(search_embeddings("a new sea")) == ["0"]
    service.forget()  # as another process, which has the old service
    fake.space = SPACE
    assert sorted(titles(search_embeddings("an old sea"))) == ["0", "1"]


def test_wagtails_own_indexes_are_left_alone(client: Elasticsearch, stand_in: StandIn) -> None:
    body: dict[str, Any] = {"settings": {}, "mappings": {"dynamic": False, "properties": {}}}
    wagtails = ("wagtail__gallery_artwork", "artworks__gallery_artwork_x1", f"{ALIAS}-somebody-elses")
    for name in wagtails:
        client.indices.create(index=name, **body)
    hung(1)

    rebuild()
    rebuild()

    assert set(wagtails) < set(stand_in.cluster.indexes)
    assert len(stand_in.cluster.indexes) == len(wagtails) + 1


def test_wagtails_rebuild_leaves_ours(client: Elasticsearch) -> None:
    hung(1)
    rebuild()
    body: dict[str, Any] = {"settings": {}, "mappings": {"dynamic": False, "properties": {}}}

    for name in ("artworks__gallery_artwork_x1", "artworks__gallery_artwork_x2"):  # as Wagtail makes one anew
        client.indices.create(index=name, **body)
        client.indices.update_aliases(actions=[{"add": {"index": name, "alias": "artworks__gallery_artwork"}}])
    client.indices.delete(index="artworks__gallery_artwork_x1")

    assert titles(search_embeddings("a sea")) == ["0"]


def test_what_a_killed_rebuild_left_lying_goes_once_nobody_can_be_filling_it(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung(1)
    delete = "elasticsearch.client.IndicesClient.delete"
    stand_in.fail("_aliases", 503)
    with monkeypatch.context() as killed:
        killed.setattr(delete, lambda *_, **__: None)
        with pytest.raises(CommandError):
            rebuild()
    stand_in.faults.clear()

    rebuild()
    assert len(stand_in.cluster.indexes) == 2
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + vector_index.LEFT_S + 1)
    rebuild()

    assert len(stand_in.cluster.indexes) == 1


def test_filters_are_those_of_querysets() -> None:
    hung(30)
    rebuild()

    found = search_embeddings("a sea", k=3, filters={"year__gte": 1828})

    assert sorted(titles(found)) == ["28", "29"]


def test_a_filter_that_lets_more_through_than_can_be_asked_for_is_held_to_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend, "MOST", 25)
    hung(30)
    rebuild()

    found = search_embeddings("a sea", k=3, filters={"year__gte": 1801})

    assert titles(found) == [name for name in nearest(30) if name != "0"][:3]


def test_rows_that_are_gone_are_made_up_for() -> None:
    hung(30)
    rebuild()
    Artwork.objects.filter(title__in=nearest(30)[:4]).delete()

    assert titles(search_embeddings("a sea", k=3)) == nearest(30)[4:7]


def test_without_an_index_nothing_is_found_and_the_log_says_what_makes_it(caplog: pytest.LogCaptureFixture) -> None:
    hung(1)

    assert search_embeddings("a sea") == []
    (record,) = [record for record in caplog.records if record.name == "tate_embeddings_django"]
    assert "`manage.py rebuild_vector_index` makes the index" in record.message


@pytest.mark.parametrize("how", ["fail", "drop"])
def test_elasticsearch_that_fails_finds_nothing_and_is_logged_once(
    how: str, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    hung(1)
    rebuild()
    stand_in.fail("_search", 503) if how == "fail" else stand_in.drop("_search")

    assert search_embeddings("a sea") == []

    ours = [record for record in caplog.records if record.name == "tate_embeddings_django"]
    assert [record.message.split(":")[0] for record in ours] == ["Elasticsearch finds nothing"]
    assert "secret reason" not in caplog.text


def test_where_rows_are_searched_themselves_there_is_no_index_to_make(site: Site, stand_in: StandIn) -> None:
    site(BACKEND="exact")

    assert "Nothing to do: BACKEND is 'exact'" in rebuild()
    assert stand_in.asked == []


def test_without_a_service_there_is_no_index_to_make(site: Site) -> None:
    site(SERVICE_URL="")

    assert "switched off" in rebuild()


@pytest.mark.parametrize("label", ["gallery.None", "gallery.Tag"])
def test_a_model_without_vectors_is_none_to_choose(label: str) -> None:
    with pytest.raises(CommandError, match=label):
        rebuild("--model", label)


def test_what_it_is_asked_with_may_be_stated(site: Site, stand_in: StandIn) -> None:
    site(ELASTICSEARCH_OPTIONS={"api_key": "a2V5OnNlY3JldA=="})
    stand_in.authorization = "ApiKey a2V5OnNlY3JldA=="
    hung(1)

    rebuild()

    assert titles(search_embeddings("a sea")) == ["0"]
