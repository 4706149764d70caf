"""Where the picture of a row is, if the model doesn't say it otherwise: behind its field `image`."""

from typing import Any
from urllib.parse import urljoin

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.fields.files import FieldFile

from tate_embeddings_django import conf

FIELD = "image"


def field_path(model: type[models.Model]) -> tuple[str, ...]:
    """The fields that lead from a model to the file of its picture: `image`, and of another model's, its first file.

    Wagtail's images are such a model. It's empty if there is no such field.
    """
    try:
        field = model._meta.get_field(FIELD)
    except FieldDoesNotExist:
        return ()
    if isinstance(field, models.FileField):
        return (FIELD,)
    if not isinstance(field, models.ForeignKey):
        return ()
    files = [each.name for each in field.related_model._meta.concrete_fields if isinstance(each, models.FileField)]
    return (FIELD, files[0]) if files else ()


def columns(model: type[models.Model]) -> tuple[str, ...]:
    """What has to be read of a row to know where its picture is."""
    path = field_path(model)
    if not path:
        return ()
    owner: Any = model if len(path) == 1 else model._meta.get_field(FIELD).related_model
    field = owner._meta.get_field(path[-1])
    # An ImageField asks for these as soon as a row is there, and with a query of its own if they were left out.
    sizes = [name for name in (getattr(field, "width_field", None), getattr(field, "height_field", None)) if name]
    return ("__".join(path), *("__".join((*path[:-1], name)) for name in sizes))


def stored(row: models.Model) -> FieldFile | None:
    """The file of a row's picture, if it has one."""
    path = field_path(type(row))
    found: Any = row if path else None
    for name in path:
        found = getattr(found, name)
        if not found:
            return None
    return found if isinstance(found, FieldFile) else None


def picture(file: FieldFile) -> str | bytes:
    """What the service is given: the URL if it is one that others can reach, else the file itself."""
    url = _url(file)
    if url.startswith(("https://", "http://")):
        return url
    with file.open("rb") as opened:
        content: bytes = opened.read()
    return content


def source(file: FieldFile) -> str:
    """What a picture is told by: its stored name and its URL, without what was signed or is dated in that."""
    return f"{file.name}\n{_url(file).partition('?')[0]}"


def _url(file: FieldFile) -> str:
    try:
        return urljoin(conf.current().media_base_url, file.url)
    except NotImplementedError:  # a storage that nobody reaches from outside
        return ""
