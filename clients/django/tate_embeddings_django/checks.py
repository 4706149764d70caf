"""What `manage.py check` says about the setting `EMBEDDINGS` and about the models that have vectors."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router

from tate_embeddings_django import conf, images
from tate_embeddings_django.models import ImageVectorMixin, searchable

NUMBERS = ("SEARCH_TIMEOUT_S", "EMBED_TIMEOUT_S", "QUERY_CACHE_S")
STRINGS = (
    "SERVICE_URL",
    "SERVICE_TOKEN",
    "QUERY_CACHE",
    "BACKEND",
    "ELASTICSEARCH_URL",
    "ELASTICSEARCH_INDEX",
    "MEDIA_BASE_URL",
)
INDEX_NAME = re.compile("[a-z][a-z0-9_-]{0,99}")


def check_setting(**_: Any) -> list[CheckMessage]:
    """The setting itself."""
    given = conf.given()
    if not isinstance(given, Mapping):
        return [_error("E001", "EMBEDDINGS isn't a dictionary.")]
    unknown = [key for key in given if key not in conf.KEYS]
    wrong = [*map(_unknown, unknown), *_of_wrong_type({key: given[key] for key in given if key not in unknown})]
    if wrong:
        return wrong
    now = conf.current()
    if not now.service_url:
        return [
            Info(
                "Embeddings are switched off: searches find nothing and commands do nothing.",
                hint="Set EMBEDDINGS['SERVICE_URL'] or the environment variable EMBEDDINGS_SERVICE_URL.",
                id="tate_embeddings.I001",
            )
        ]
    return [*_about_service(now), *_about_backend(now)]


def check_models(**_: Any) -> list[CheckMessage]:
    """The models. What is wrong with the setting is said by `check_setting`."""
    if check_setting():
        return []
    try:
        models = searchable()
    except ImproperlyConfigured as error:
        return [_error("E011", f"EMBEDDINGS['MODELS'] is wrong: {error}")]
    if not models:
        hint = "Let a model inherit from tate_embeddings_django.models.ImageVectorMixin."
        return [Info("No model has vectors.", hint=hint, id="tate_embeddings.I002")]
    return [wrong for model in models for wrong in _about_model(model)]


def _of_wrong_type(given: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for key, value in given.items():
        if key in STRINGS and not isinstance(value, str):
            yield _error("E003", f"EMBEDDINGS[{key!r}] isn't a string.")
        if key in NUMBERS and not _positive(value):
            yield _error("E003", f"EMBEDDINGS[{key!r}] isn't a number above 0.")
    if not isinstance(given.get("ELASTICSEARCH_OPTIONS", {}), Mapping):
        yield _error("E003", "EMBEDDINGS['ELASTICSEARCH_OPTIONS'] isn't a dictionary.")
    models = given.get("MODELS")
    if models is not None and (isinstance(models, str) or not isinstance(models, Sequence)):
        yield _error("E003", "EMBEDDINGS['MODELS'] isn't a list of names such as 'app.Model'.")


def _about_service(now: conf.Embeddings) -> Iterator[CheckMessage]:
    if not _is_url(now.service_url):
        yield _error("E004", "SERVICE_URL isn't an http(s) URL.", "Such as https://embeddings.example.org")
    if not now.service_token.strip():
        yield _error(
            "E005",
            "SERVICE_URL is set, and SERVICE_TOKEN isn't.",
            "Set EMBEDDINGS['SERVICE_TOKEN'] or EMBEDDINGS_SERVICE_TOKEN to one of the service's AUTH_TOKENs.",
        )
    if now.query_cache not in settings.CACHES:
        yield _error("E006", f"QUERY_CACHE is {now.query_cache!r}, which isn't in CACHES.")
    if now.media_base_url and not _is_url(now.media_base_url):
        yield _error("E007", "MEDIA_BASE_URL isn't an http(s) URL.", "Such as https://www.example.org")


def _about_backend(now: conf.Embeddings) -> Iterator[CheckMessage]:
    if now.backend not in conf.BACKENDS:
        yield _error("E008", f"BACKEND is {now.backend!r}, and not one of {', '.join(conf.BACKENDS)}.")
    elif now.backend != "exact" and find_spec(now.backend) is None:
        hint = f'pip install "django-tate-embeddings[{now.backend}]"'
        yield _error("E009", f"BACKEND is {now.backend!r}, and the package {now.backend} isn't installed.", hint)
    elif now.backend == "elasticsearch" and (not _is_url(now.elasticsearch_url) or not _port(now.elasticsearch_url)):
        yield _error("E010", "ELASTICSEARCH_URL isn't an http(s) URL with a port.", "Such as http://localhost:9200")
    elif now.backend == "elasticsearch" and not INDEX_NAME.fullmatch(now.elasticsearch_index):
        yield _error("E015", "ELASTICSEARCH_INDEX isn't a name: small letters, digits, '_', '-', a letter first.")


def _about_model(model: type[ImageVectorMixin]) -> Iterator[CheckMessage]:
    if model.get_embedding_image is ImageVectorMixin.get_embedding_image and not images.field_path(model):
        hint = "Give it an ImageField `image`, a ForeignKey `image` to a model with one, or a get_embedding_image()."
        yield _error("E012", "Nobody knows where its pictures are.", hint, model)
    if conf.current().backend == "pgvector":
        if connections[router.db_for_read(model)].vendor != "postgresql":
            yield _error("E013", "BACKEND is 'pgvector', and its database isn't PostgreSQL.", None, model)
        elif getattr(model._meta.get_field("image_vector"), "dimensions", None) is None:
            hint = "Let it inherit from tate_embeddings_django.pgvector.PgVectorMixin."
            yield _error("E014", "BACKEND is 'pgvector', and its image_vector isn't a VectorField.", hint, model)


def _unknown(key: Any) -> CheckMessage:
    (close,) = get_close_matches(str(key), conf.KEYS, 1) or (None,)
    return _error("E002", f"EMBEDDINGS[{key!r}] isn't known.", close and f"Is {close!r} meant?")


def _error(number: str, message: str, hint: str | None = None, about: Any = None) -> CheckMessage:
    return Error(message, hint=hint, obj=about, id=f"tate_embeddings.{number}")


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _port(text: str) -> int | None:
    try:
        return urlsplit(text).port
    except ValueError:
        return None
