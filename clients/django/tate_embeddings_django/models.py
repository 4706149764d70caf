"""What a model needs to be found by meaning: a vector of its picture, and what that was made of.

    class Artwork(ImageVectorMixin, models.Model):
        image = models.ImageField()

The fields belong to `manage.py update_embeddings`, which alone changes them.
"""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models

from tate_embeddings_django import conf, images

Picture = str | bytes | Path
# What is in a column; Django's own classes can't be asked for it when the program runs.
Text: TypeAlias = "models.CharField[str, str]"
Moment: TypeAlias = "models.DateTimeField[datetime | None, datetime | None]"


class ImageVectorMixin(models.Model):
    """A vector of a row's picture. Compare only vectors whose `image_vector_space` is equal.

    A row has a vector and its space, or neither. `image_vector_checksum` tells what the vector was made from, or what
    none could be made from; `image_vector_error` is the code of what went wrong last, and empty if nothing did.
    """

    image_vector_space: Text = models.CharField(max_length=64, default="", blank=True, editable=False)
    image_vector_checksum: Text = models.CharField(max_length=64, default="", blank=True, editable=False)
    image_vector_error: Text = models.CharField(max_length=64, default="", blank=True, editable=False)
    image_vector_tried_at: Moment = models.DateTimeField(null=True, editable=False)
    # The last: what stands behind it in a row is reached through it.
    image_vector = models.JSONField(null=True, editable=False)

    class Meta:
        """No table of its own."""

        abstract = True

    def get_embedding_image(self) -> Picture | None:
        """The row's picture: a URL that the service can reach, its bytes, or a file. None if there is none.

        By default it is what the field `image` holds, a file or an image of Wagtail's: its URL where `MEDIA_URL` or
        `EMBEDDINGS["MEDIA_BASE_URL"]` makes that a whole one, else its bytes.
        """
        file = images.stored(self)
        return None if file is None else images.picture(file)

    def get_embedding_source(self) -> str | None:
        """What tells whether it is still the same picture, found without reading it. None if there is none.

        By default stored name and URL; of a `get_embedding_image` of your own, what that gives.
        """
        if type(self).get_embedding_image is ImageVectorMixin.get_embedding_image:
            file = images.stored(self)
            return None if file is None else images.source(file)
        image = self.get_embedding_image()
        if not image:
            return None
        return hashlib.sha256(image).hexdigest() if isinstance(image, bytes) else str(image)

    def with_content_json(self, content: dict[str, Any]) -> Any:
        """Of an older revision, which Wagtail asks for: it has the vector that the row has now, not the one of then."""
        revised = super().with_content_json(content)  # type: ignore[misc]  # Wagtail's, which need not be there
        for name in FIELDS:
            setattr(revised, name, getattr(self, name))
        return revised


FIELDS = tuple(field.name for field in ImageVectorMixin._meta.fields)


def checksum(row: ImageVectorMixin) -> str | None:
    """What `image_vector_checksum` is once the row has a vector of its picture as it is now; None without a picture."""
    source = row.get_embedding_source()
    return None if source is None else hashlib.sha256(source.encode()).hexdigest()


def searchable(labels: list[str] | None = None) -> list[type[ImageVectorMixin]]:
    """The models that have vectors: those named, else those of `EMBEDDINGS["MODELS"]`, else all with a column for them.

    Raises:
        ImproperlyConfigured: there is no such model, or it has no vectors.
    """
    named = conf.current().models if labels is None else labels
    if named is None:
        return [model for model in apps.get_models() if issubclass(model, ImageVectorMixin) and _has_column(model)]
    return [_named(label) for label in named]


def _has_column(model: type[ImageVectorMixin]) -> bool:
    """Proxies, and models that inherit from one with a table, have the rows of that."""
    return any(field.name == "image_vector" for field in model._meta.local_fields)


def _named(label: str) -> type[ImageVectorMixin]:
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        raise ImproperlyConfigured(f"There is no model {label!r}; models are named as app.Model.") from None
    if not issubclass(model, ImageVectorMixin):
        raise ImproperlyConfigured(f"{label} has no vectors: it doesn't inherit from ImageVectorMixin.")
    return model
