"""Tests of the Django app, in a site with nothing but what is tested, which is set up before anything is imported."""

import os
from unittest import mock

import django

# Not for what other tests start.
with mock.patch.dict(os.environ, DJANGO_SETTINGS_MODULE="tests.clients.django.settings"):
    django.setup()
