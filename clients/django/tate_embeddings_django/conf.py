"""The setting `EMBEDDINGS`: a dictionary, of which every key may be left out."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

BACKENDS = ("exact", "pgvector", "elasticsearch")


def _from_environment(name: str) -> Any:
    return field(default_factory=lambda: os.environ.get(name, ""))


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """What `EMBEDDINGS` says, by the names of its keys in small letters; `manage.py check` judges it."""

    service_url: str = _from_environment("EMBEDDINGS_SERVICE_URL")
    service_token: str = field(default_factory=lambda: os.environ.get("EMBEDDINGS_SERVICE_TOKEN", ""), repr=False)
    search_timeout_s: float = 2.0
    embed_timeout_s: float = 120.0
    query_cache: str = "default"
    query_cache_s: int = 86_400
    backend: str = "exact"
    elasticsearch_url: str = field(default="http://localhost:9200", repr=False)  # it may have a password
    elasticsearch_index: str = "artworks"
    elasticsearch_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    media_base_url: str = ""
    models: Sequence[str] | None = None


KEYS = tuple(each.name.upper() for each in fields(Embeddings))


def given() -> Any:
    """What stands in Django's settings, whatever it is."""
    return getattr(settings, "EMBEDDINGS", {})


def current() -> Embeddings:
    """The setting as it is now.

    Raises:
        ImproperlyConfigured: it isn't a dictionary, or has keys that nobody knows.
    """
    setting = given()
    if not isinstance(setting, Mapping) or not set(setting) <= set(KEYS):
        raise ImproperlyConfigured("EMBEDDINGS is wrong; `manage.py check` says how.")
    return Embeddings(**{key.lower(): value for key, value in setting.items()})
