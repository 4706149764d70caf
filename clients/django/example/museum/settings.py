"""Settings for one developer on one machine: nothing here is meant for the outside."""

import os
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DATA = Path(os.environ.get("EXAMPLE_DATA_DIR", HERE.parent / "data"))
DATA.mkdir(parents=True, exist_ok=True)


def _database(url: str) -> dict[str, Any]:
    if url:
        from psycopg.conninfo import conninfo_to_dict

        options = conninfo_to_dict(url)
        return {"ENGINE": "django.db.backends.postgresql", "NAME": options.pop("dbname"), "OPTIONS": options}
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "db.sqlite3",
        # `update_embeddings` may write while the site reads.
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE", "timeout": 20},
    }


DATABASES = {"default": _database(os.environ.get("DATABASE_URL", ""))}

# Where the service is. Left out, these two are the variables EMBEDDINGS_SERVICE_URL and EMBEDDINGS_SERVICE_TOKEN; here
# they default to what `run.py` starts, so that commands in another terminal find it too.
EMBEDDINGS = {
    "SERVICE_URL": os.environ.get("EMBEDDINGS_SERVICE_URL", "http://127.0.0.1:8011"),
    "SERVICE_TOKEN": os.environ.get("EMBEDDINGS_SERVICE_TOKEN", "demonstration_token"),
}

DEBUG = True
SECRET_KEY = "known to everybody"  # noqa: S105  # it signs sessions of one machine's own example
INSTALLED_APPS = [
    "museum",
    "tate_embeddings_django",
    "wagtail.documents",
    "wagtail.embeds",
    "wagtail.images",
    "wagtail.search",
    "wagtail.sites",
    "wagtail.snippets",
    "wagtail.users",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django_filters",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "museum.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en-gb"
STATIC_URL = "/static/"
MEDIA_URL = "/media/"
MEDIA_ROOT = DATA / "media"
# Queries are remembered by Django's cache; one that all processes share would be better for a site of many.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

WAGTAIL_SITE_NAME = "The painted collection"
WAGTAILADMIN_BASE_URL = "http://localhost:8010"
# The example asks nobody else for anything.
WAGTAIL_ENABLE_UPDATE_CHECK = False
WAGTAIL_GRAVATAR_PROVIDER_URL = None
