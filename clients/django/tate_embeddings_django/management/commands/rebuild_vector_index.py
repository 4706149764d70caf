"""Elasticsearch's index of vectors, made anew from the database: `manage.py rebuild_vector_index`."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from tate_embeddings_client import EmbeddingsError
from tate_embeddings_django import conf, service
from tate_embeddings_django.management.failures import explained
from tate_embeddings_django.models import searchable


class Command(BaseCommand):
    """`manage.py rebuild_vector_index`."""

    help = (
        "Makes Elasticsearch's index of the vectors that are of the service's model, and puts it in the place of the "
        "one before, which is searched until then."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", action="append", metavar="app.Model", help="only this one; may be repeated")

    def handle(self, *_: Any, **options: Any) -> None:
        now = conf.current()
        if not now.service_url:
            self.stdout.write("Embeddings are switched off: SERVICE_URL isn't set. Nothing to do.")
            return
        if now.backend != "elasticsearch":
            self.stdout.write(f"Nothing to do: BACKEND is {now.backend!r}, which searches the rows themselves.")
            return
        try:
            space = service.current_space()
            models = searchable(options["model"])
        except (EmbeddingsError, service.NotReady, ImproperlyConfigured) as error:
            raise CommandError(explained(error)) from error
        for model in models:
            self._rebuild(model, space)

    def _rebuild(self, model: Any, space: str) -> None:
        from elasticsearch import ApiError, TransportError

        from tate_embeddings_django import vector_index

        try:
            rebuilt = vector_index.rebuild(model, space)
        except vector_index.NotRebuilt as error:
            raise CommandError(str(error)) from error
        except (ApiError, TransportError) as error:
            raise CommandError(f"Elasticsearch doesn't do it: {vector_index.said(error)}.") from error
        self.stdout.write(f"{model._meta.label}: {rebuilt.count:,} vectors in {rebuilt.index}")
        for other in rebuilt.others:
            self.stdout.write(f"{model._meta.label}: the index of another model is still there as {other}")
