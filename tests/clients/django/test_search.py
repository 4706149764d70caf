"""`search_embeddings` where all vectors are compared, and what it makes of a service that is slow, changed or away."""

import logging
import math
import random
import threading
from collections.abc import Callable
from operator import mul
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import FieldError
from django.utils import timezone

from tate_embeddings_client.testing import FakeClient
from tate_embeddings_django import conf, service
from tate_embeddings_django.backends import exact
from tate_embeddings_django.search import Scored, search_embeddings
from tests.clients.django.conftest import SPACE, queries
from tests.clients.django.gallery.models import Artwork, Poster, Tag
from tests.clients.python.service import SPACE as SERVED
from tests.clients.python.service import Loopback, Respond, Service, problem, vector

Site = Callable[..., None]


def kept(numbers: Any, space: str = SPACE) -> dict[str, Any]:
    return {
        "image_vector": list(numbers),
        "image_vector_space": space,
        "image_vector_checksum": "of some picture",
        "image_vector_tried_at": timezone.now(),
    }


def drawn(name: str) -> list[float]:
    """A vector of length 1."""
    draw = random.Random(name)
    numbers = [draw.gauss() for _ in range(512)]
    return [number / math.hypot(*numbers) for number in numbers]


def hang(title: str, **values: Any) -> Artwork:
    return Artwork.objects.create(title=title, **kept(drawn(title)) | values)


def titles(found: list[Scored]) -> list[str]:
    return [scored.object.title for scored in found]


def expected(query: str, names: list[str]) -> list[str]:
    sought = FakeClient().embed_text(query).vector
    return sorted(names, key=lambda name: -sum(map(mul, drawn(name), sought)))


@pytest.fixture(params=["with numpy", "without numpy"])
def compared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without numpy":
        monkeypatch.setattr(exact, "find_spec", lambda name: None)


@pytest.mark.usefixtures("compared", "fake")
def test_the_nearest_rows_come_first_with_their_cosines() -> None:
    names = [str(number) for number in range(30)]
    for name in names:
        hang(name)

    found = search_embeddings("a stormy sea", k=5)

    sought = FakeClient().embed_text("a stormy sea").vector
    assert titles(found) == expected("a stormy sea", names)[:5]
    for scored in found:
        assert scored.score == pytest.approx(sum(map(mul, drawn(scored.object.title), sought)), abs=1e-6)


@pytest.mark.usefixtures("compared", "fake")
def test_only_vectors_of_the_services_space_are_found() -> None:
    hang("one")
    hang("another", image_vector_space="another")
    Artwork.objects.create(title="none")

    assert titles(search_embeddings("a sea")) == ["one"]


@pytest.mark.usefixtures("compared", "fake")
def test_filters_are_those_of_querysets() -> None:
    for number in range(20):
        hang(str(number), year=1830 + number)

    found = search_embeddings("a sea", k=3, filters={"year__gte": 1840, "year__lt": 1842})

    assert sorted(titles(found)) == ["10", "11"]
    with pytest.raises(FieldError):
        search_embeddings("a sea", filters={"yaer": 1840})


@pytest.mark.usefixtures("fake")
def test_a_row_that_fits_a_filter_twice_is_found_once() -> None:
    row = hang("one")
    row.tags.set([Tag.objects.create(name="sea"), Tag.objects.create(name="storm")])

    assert len(search_embeddings("a sea", filters={"tags__name__in": ["sea", "storm"]})) == 1


@pytest.mark.usefixtures("fake")
def test_all_models_are_searched_together_or_one(site: Site) -> None:
    site(MODELS=["gallery.Artwork", "gallery.Poster"])
    hang("artwork")
    Poster.objects.create(address="poster", **kept(drawn("poster")))

    found = search_embeddings("a sea")

    assert {type(scored.object) for scored in found} == {Artwork, Poster}
    assert found[0].score >= found[1].score
    assert [type(scored.object) for scored in search_embeddings("a sea", model=Poster)] == [Poster]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(("query", "k"), [("", 5), (" \n", 5), ("a sea", 0)])
def test_of_nothing_there_is_nothing(query: str, k: int) -> None:
    hang("one")

    assert search_embeddings(query, k) == []


@pytest.mark.usefixtures("compared", "fake")
@pytest.mark.parametrize(
    "change",
    [
        lambda: hang("new"),
        lambda: Artwork.objects.get(title="1").delete(),
        lambda: Artwork.objects.filter(title="1").update(**kept(drawn("new"))),
        lambda: (Artwork.objects.get(title="1").delete(), hang("new")),
        lambda: Artwork.objects.filter(title="1").update(image_vector=None, image_vector_space=""),
        lambda: Artwork.objects.all().delete(),
        lambda: Artwork.objects.filter(title="1").update(image_vector_space="another"),
    ],
    ids=["added", "deleted", "made anew", "exchanged", "taken away", "all gone", "another model's"],
)
def test_what_has_changed_since_is_found_as_it_is(change: Callable[[], Any]) -> None:
    for number in range(5):
        hang(str(number))
    search_embeddings("a sea")

    change()

    found = [(scored.object.pk, scored.score) for scored in search_embeddings("a sea")]
    exact._kept.clear()
    assert found == [(scored.object.pk, scored.score) for scored in search_embeddings("a sea")]


@pytest.mark.usefixtures("fake")
def test_vectors_are_read_once(site: Site) -> None:
    for number in range(5):
        hang(str(number))
    search_embeddings("a sea")

    with queries() as executed:
        search_embeddings("a calm sea")

    assert len(executed) == 2
    assert not any('"image_vector"' in sql for sql in executed)


@pytest.mark.usefixtures("fake")
def test_no_change_goes_by_unnoticed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    row = hang("one")
    (before,) = search_embeddings("a sea")
    Artwork.objects.filter(pk=row.pk).update(image_vector=drawn("other"))

    assert search_embeddings("a sea") == [before]
    monkeypatch.setattr(exact, "KEPT_S", -1)
    assert search_embeddings("a sea") != [before]


@pytest.fixture
def four(served: Service) -> Service:
    """A service of four numbers, and a row that it finds."""
    Artwork.objects.create(title="one", **kept(vector("one"), SERVED))
    return served


def asked(service: Service) -> int:
    return len(service.asked)


def test_a_query_is_sent_once(four: Service) -> None:
    for _ in range(3):
        assert titles(search_embeddings("a sea")) == ["one"]
        assert titles(search_embeddings(" a sea ")) == ["one"]

    assert asked(four) == 1


def test_a_query_that_was_asked_before_a_redeploy_is_asked_again(four: Service) -> None:
    search_embeddings("a sea")
    four.space = "another"
    Artwork.objects.create(title="new", **kept(vector("new"), "another"))

    assert titles(search_embeddings("a storm")) == ["new"]  # asked for the first time, it tells the new space
    assert titles(search_embeddings("a sea")) == ["new"]


def test_after_a_while_the_service_is_asked_whether_it_has_the_same_model(four: Service) -> None:
    search_embeddings("a sea")
    cache.delete(f"{service.PREFIX}:space:{service._digest(conf.current().service_url)}")

    search_embeddings("a sea")

    assert asked(four) == 2


@pytest.mark.parametrize(
    "failing",
    [lambda: problem(503, "overloaded"), lambda: httpx.Response(200, text="<html>"), lambda: problem(401, "x")],
    ids=["overloaded", "another program", "wrong token"],
)
def test_a_service_that_fails_finds_nothing_and_is_logged_once(
    failing: Callable[[], httpx.Response], four: Service, caplog: pytest.LogCaptureFixture
) -> None:
    four.answer = lambda request: failing()  # type: ignore[method-assign]  # a service to be bent

    assert search_embeddings("a sea") == []

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("tate_embeddings_django", logging.WARNING)
    assert "secret" not in caplog.text


def test_a_service_that_is_down_finds_nothing_and_is_logged_once(
    site: Site, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    site(SERVICE_URL=f"http://127.0.0.1:{free_port}")

    assert search_embeddings("a sea") == []
    assert [record.message.split(":")[0] for record in caplog.records] == ["The query has no vector"]


def test_a_service_that_is_slow_costs_a_page_no_more_than_its_timeout(
    loopback: Callable[[Respond], Loopback], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    released = threading.Event()
    site(SERVICE_URL=loopback(lambda request: _stalled(released)).address, SEARCH_TIMEOUT_S=0.2)

    assert search_embeddings("a sea") == []
    released.set()

    assert "No answer within 0.2 seconds" in caplog.text


def _stalled(released: threading.Event) -> httpx.Response:
    released.wait(10)
    return httpx.Response(503)


def test_while_the_service_is_away_what_it_was_asked_before_is_still_found(
    four: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_embeddings("a sea")
    monkeypatch.setattr(service, "SPACE_KEPT_S", 0)
    search_embeddings("a storm")
    four.answer = lambda request: problem(503, "overloaded")  # type: ignore[method-assign]  # likewise

    assert titles(search_embeddings("a sea")) == ["one"]


def test_without_a_service_nothing_is_found_and_nothing_said(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site(SERVICE_URL="")
    hang("one")

    assert search_embeddings("a sea") == []
    assert [record.levelno for record in caplog.records] in ([], [logging.DEBUG])


def test_a_site_that_says_nothing_of_embeddings_finds_nothing() -> None:
    assert not hasattr(settings, "EMBEDDINGS")

    assert search_embeddings("a sea") == []


@pytest.mark.parametrize("wrong", [{"SERVICE_URL": "no address"}, {"SERVICE_TOKEN": ""}])
def test_a_setting_that_can_be_none_finds_nothing(
    wrong: dict[str, str], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site(**wrong)

    assert search_embeddings("a sea") == []
    assert len(caplog.records) == 1


def test_connections_are_kept(loopback: Callable[[Respond], Loopback], site: Site) -> None:
    behind = loopback(Service())
    site(SERVICE_URL=behind.address)

    for number in range(5):
        search_embeddings(f"sea {number}")

    assert behind.connections == 1


@pytest.mark.usefixtures("fake")
def test_what_is_found_has_its_vector_when_it_is_asked_for() -> None:
    hang("one")

    (found,) = search_embeddings("a sea")

    assert "image_vector" in found.object.get_deferred_fields()
    assert len(found.object.image_vector) == 512
