"""The mixin for PostgreSQL with pgvector: `pip install "django-tate-embeddings[pgvector]"`."""

from pgvector.django import VectorField

from tate_embeddings_django.models import ImageVectorMixin

# Of the service's default model.
DIMENSIONS = 512


class PgVectorMixin(ImageVectorMixin):
    """`ImageVectorMixin` with the vector in a column of pgvector's.

    For a model of another count of numbers, say `image_vector = VectorField(dimensions=640, null=True)` in the model.
    """

    image_vector = VectorField(dimensions=DIMENSIONS, null=True, editable=False)

    class Meta:
        """No table of its own."""

        abstract = True
