"""As little as a site needs. Its database and its image host are the environment's, and so is the service."""

import os

SECRET_KEY = "no secret"
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["tate_embeddings_django", "benchmarks.museum"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["MUSEUM_DATABASE"]}}
MEDIA_URL = os.environ["MUSEUM_IMAGES"]
ROOT_URLCONF = "benchmarks.museum.views"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
