"""A model for PostgreSQL."""

from django.db import models

from tate_embeddings_django.pgvector import PgVectorMixin


class Painting(PgVectorMixin, models.Model):
    """A picture whose vector is a column of pgvector's."""

    title: "models.CharField[str, str]" = models.CharField(max_length=200, blank=True)
    year: "models.IntegerField[int, int]" = models.IntegerField(default=1840)
    image = models.ImageField(blank=True)
