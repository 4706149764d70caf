"""A site with nothing but what is tested. Each process of tests has a database; commands that it starts share it."""

import os
import tempfile
from pathlib import Path
from typing import Any

SECRET_KEY = "no secret"
USE_TZ = True
TIME_ZONE = "UTC"
LOGGING_CONFIG = None  # as pytest has it
INSTALLED_APPS = ["tate_embeddings_django", "tests.clients.django.gallery", "tests.clients.django.pg"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_file = os.environ.get("GALLERY_DATABASE") or str(Path(tempfile.mkdtemp(prefix="gallery-")) / "gallery.sqlite3")
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _file,
        "OPTIONS": {"init_command": "PRAGMA synchronous = OFF", "timeout": 30},
    },
    "postgresql": {"ENGINE": "django.db.backends.postgresql", "NAME": "set by the tests that need it"},
}
DATABASE_ROUTERS = ["tests.clients.django.router.Router"]
MEDIA_URL = "https://media.example.org/"
MEDIA_ROOT = os.environ.get("GALLERY_MEDIA", "/nowhere")
