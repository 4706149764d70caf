"""What `manage.py check` says."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test.utils import override_settings

from tate_embeddings_django import checks, conf
from tate_embeddings_django.models import searchable
from tests.clients.django.gallery.models import Artwork
from tests.conftest import TOKEN

GOOD = {"SERVICE_URL": "https://embeddings.example.org", "SERVICE_TOKEN": TOKEN, "MODELS": ["gallery.Artwork"]}
IDS = "tate_embeddings."


def messages(**changes: Any) -> list[CheckMessage]:
    with override_settings(EMBEDDINGS=GOOD | changes):
        return run_checks()


def ids(**changes: Any) -> list[str]:
    return [str(message.id).removeprefix(IDS) for message in messages(**changes)]


def test_a_site_that_is_set_up_has_nothing_to_be_told() -> None:
    assert messages() == []
    assert messages(MODELS=None, BACKEND="elasticsearch", QUERY_CACHE_S=1, SEARCH_TIMEOUT_S=0.5) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"SERVICE_URL": ""}, "I001"),
        ({"MODELS": []}, "I002"),
        ({"SERVICE_URI": "https://embeddings.example.org"}, "E002"),
        ({"SEARCH_TIMEOUT_S": "2"}, "E003"),
        ({"EMBED_TIMEOUT_S": 0}, "E003"),
        ({"QUERY_CACHE_S": True}, "E003"),
        ({"SERVICE_TOKEN": None}, "E003"),
        ({"ELASTICSEARCH_OPTIONS": []}, "E003"),
        ({"MODELS": "gallery.Artwork"}, "E003"),
        ({"SERVICE_URL": "embeddings.example.org"}, "E004"),
        ({"SERVICE_TOKEN": " "}, "E005"),
        ({"QUERY_CACHE": "none"}, "E006"),
        ({"MEDIA_BASE_URL": "/media/"}, "E007"),
        ({"BACKEND": "pinecone"}, "E008"),
        ({"BACKEND": "elasticsearch", "ELASTICSEARCH_URL": "http://localhost"}, "E010"),
        ({"BACKEND": "elasticsearch", "ELASTICSEARCH_URL": "http://localhost:port"}, "E010"),
        ({"MODELS": ["gallery.None"]}, "E011"),
        ({"MODELS": ["gallery.Tag"]}, "E011"),
        ({"BACKEND": "pgvector"}, "E013"),
        ({"BACKEND": "elasticsearch", "ELASTICSEARCH_INDEX": "Artworks"}, "E015"),
    ],
)
def test_what_is_wrong_or_missing_is_said_by_its_id(changes: dict[str, Any], expected: str) -> None:
    assert ids(**changes) == [expected]


@pytest.mark.parametrize("given", [None, "https://embeddings.example.org", ["SERVICE_URL"]])
def test_the_setting_is_a_dictionary(given: Any) -> None:
    with override_settings(EMBEDDINGS=given):
        assert [message.id for message in run_checks()] == [f"{IDS}E001"]
        with pytest.raises(ImproperlyConfigured, match=r"`manage\.py check` says how"):
            conf.current()


def test_a_key_that_is_nearly_right_is_guessed() -> None:
    (message,) = messages(SERVICE_URI="https://embeddings.example.org")

    assert message.hint == "Is 'SERVICE_URL' meant?"


def test_a_package_that_is_missing_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)

    (message,) = messages(BACKEND="elasticsearch")

    assert message.id == f"{IDS}E009"
    assert message.hint == 'pip install "django-tate-embeddings[elasticsearch]"'


@pytest.mark.parametrize(
    ("change", "backend", "expected"),
    [
        (lambda patch: patch.setattr("tate_embeddings_django.images.field_path", lambda model: ()), "exact", "E012"),
        (lambda patch: patch.setattr("django.db.router.db_for_read", lambda model: "postgresql"), "pgvector", "E014"),
    ],
)
def test_a_model_that_cant_be_searched_is_named(
    change: Callable[[pytest.MonkeyPatch], None], backend: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch)

    (message,) = messages(BACKEND=backend)

    assert message.id == f"{IDS}{expected}"
    assert message.obj is Artwork


def test_a_painting_of_pgvectors_is_as_it_should_be() -> None:
    assert messages(BACKEND="pgvector", MODELS=["pg.Painting"]) == []


def test_manage_py_check_fails_with_all_of_it() -> None:
    wrong = override_settings(EMBEDDINGS=GOOD | {"SERVICE_TOKEN": "", "QUERY_CACHE": "none"})
    with wrong, pytest.raises(SystemCheckError) as failure:
        call_command("check")

    assert "(tate_embeddings.E005) SERVICE_URL is set, and SERVICE_TOKEN isn't." in str(failure.value)
    assert "(tate_embeddings.E006)" in str(failure.value)


def test_address_and_token_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDINGS_SERVICE_URL", "https://embeddings.example.org")
    monkeypatch.setenv("EMBEDDINGS_SERVICE_TOKEN", "from the environment")

    with override_settings(EMBEDDINGS={}):
        now = conf.current()

    assert (now.service_url, now.service_token) == ("https://embeddings.example.org", "from the environment")


def test_secrets_are_not_shown() -> None:
    shown = repr(conf.Embeddings(service_token="a secret", elasticsearch_url="http://u:a secret@host:9200"))

    assert "secret" not in shown


def test_every_model_with_a_column_counts_once_if_none_is_named() -> None:
    with override_settings(EMBEDDINGS={}):
        names = [model._meta.label for model in searchable()]

    assert names == ["gallery.Artwork", "gallery.Room", "gallery.Poster", "pg.Painting"]
