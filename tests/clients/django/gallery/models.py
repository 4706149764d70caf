"""Models with pictures of every kind."""

from django.db import models

from tate_embeddings_django.models import ImageVectorMixin


class Tag(models.Model):
    name: "models.CharField[str, str]" = models.CharField(max_length=50)


class Artwork(ImageVectorMixin, models.Model):
    """A picture of its own."""

    title: "models.CharField[str, str]" = models.CharField(max_length=200, blank=True)
    year: "models.IntegerField[int, int]" = models.IntegerField(default=1840)
    image = models.ImageField(blank=True)
    tags = models.ManyToManyField(Tag)


class Scan(models.Model):
    """As Wagtail keeps images: in a model of their own, with their sizes."""

    title: "models.CharField[str, str]" = models.CharField(max_length=200, blank=True)
    file = models.ImageField(width_field="width", height_field="height")
    width: "models.IntegerField[int, int]" = models.IntegerField(editable=False)
    height: "models.IntegerField[int, int]" = models.IntegerField(editable=False)


class Room(ImageVectorMixin, models.Model):
    """A picture that others may have too, or none."""

    image: "models.ForeignKey[Scan | None, Scan | None]" = models.ForeignKey(Scan, null=True, on_delete=models.SET_NULL)


class Poster(ImageVectorMixin, models.Model):
    """A picture that is somewhere else."""

    address: "models.CharField[str, str]" = models.CharField(max_length=200)

    def get_embedding_image(self) -> str | None:
        return self.address or None


class Postcard(Artwork):
    """An artwork with a table of its own besides."""


class Framed(Artwork):
    """An artwork under another name."""

    class Meta:
        proxy = True
