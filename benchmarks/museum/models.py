"""What hangs in the museum."""

from django.db import models

from tate_embeddings_django.models import ImageVectorMixin


class Artwork(ImageVectorMixin, models.Model):
    """A picture that the service fetches from the image host."""

    title: "models.CharField[str, str]" = models.CharField(max_length=200)
    image = models.ImageField()
