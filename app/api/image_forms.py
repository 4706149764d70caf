"""The forms in which images come in: JSON with URLs or base64, uploaded files, or one image as the body itself."""

from collections.abc import Callable
from typing import Annotated, Any, ParamSpec

from fastapi import Depends, Request

from app.api.bodies import bounded, content_type, is_json, metered, not_too_many
from app.api.inline_images import image_or_url, not_empty
from app.api.json_bodies import read_one_of
from app.api.multipart import read_file, read_files
from app.api.openapi import json_content
from app.api.schemas import (
    EXAMPLE_IMAGE,
    EXAMPLE_URL,
    Body,
    ImageRequest,
    ImagesRequest,
    ImageUrlRequest,
    ImageUrlsRequest,
)
from app.api.services import FromApp, ShareOfImageBytes
from app.errors import ServiceError, TooLarge, UnsupportedMediaType
from app.serving import Source

P = ParamSpec("P")

ONE: dict[str, type[Body]] = {"url": ImageUrlRequest, "image": ImageRequest}
SEVERAL: dict[str, type[Body]] = {"urls": ImageUrlsRequest, "images": ImagesRequest, "image": ImageRequest}

IMAGE_CONTENT: dict[str, Any] = {
    **json_content(
        *ONE.values(),
        examples={
            "url": {"summary": "an image to fetch", "value": {"url": EXAMPLE_URL}},
            "image": {"summary": "an image in base64", "value": {"image": EXAMPLE_IMAGE}},
        },
    ),
    "multipart/form-data": {
        "schema": {
            "title": "ImageUpload",
            "description": "An image as an uploaded file.",
            "type": "object",
            "properties": {"file": {"type": "string", "format": "binary"}},
            "required": ["file"],
            "additionalProperties": False,
        },
    },
    "image/*": {
        "schema": {
            "title": "ImageBytes",
            "description": "The image itself. Its bytes decide what it is, not the subtype.",
            "type": "string",
            "format": "binary",
        },
    },
}
IMAGES_CONTENT: dict[str, Any] = {
    **json_content(
        *SEVERAL.values(),
        examples={
            "urls": {"summary": "images to fetch", "value": {"urls": [EXAMPLE_URL]}},
            "images": {"summary": "images in base64 or behind URLs", "value": {"images": [EXAMPLE_IMAGE]}},
            "image": {"summary": "one image, answered as by /embed-image", "value": {"image": EXAMPLE_IMAGE}},
        },
    ),
    "multipart/form-data": {
        "schema": {
            "title": "ImageUploads",
            "description": "Images as uploaded files, all under one name.",
            "type": "object",
            "properties": {"files": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
            "required": ["files"],
            "additionalProperties": False,
        },
    },
}


# A list of images as they were sent; one that can't be read at all is the reason why.
ImageList = list[Source | ServiceError]


async def sent_image(request: Request, services: FromApp, take: ShareOfImageBytes) -> Source:
    """The image's bytes, or the URL where they are to be fetched.

    Raises:
        ServiceError: the body is none of the forms, says nothing, or is over a limit.
    """
    max_bytes = services.settings.max_image_bytes
    request = metered(request, take)
    if is_json(request):
        return _of_one(await read_one_of(request, ONE), max_bytes)
    kind = content_type(request)
    if kind == "multipart/form-data":
        return not_empty(await read_file(request, "file", max_bytes))
    if kind.startswith("image/"):
        return not_empty(await bounded(request, max_bytes, "image").body())
    raise UnsupportedMediaType(
        "Send the image as JSON ('Content-Type: application/json'), as the file of a form ('multipart/form-data'), "
        "or as the body itself ('image/...')."
    )


async def sent_images(request: Request, services: FromApp, take: ShareOfImageBytes) -> Source | ImageList:
    """A list of images, or the one image of the single form.

    Raises:
        ServiceError: the body is none of the forms, says nothing, or is over a limit.
    """
    settings = services.settings
    request = metered(request, take)
    if content_type(request) == "multipart/form-data":
        files = await read_files(request, "files", settings.max_image_bytes, settings.max_batch_items)
        return [file if isinstance(file, TooLarge) else _or_why_not(not_empty, file) for file in files]
    if not is_json(request):
        raise UnsupportedMediaType(
            "Send the images as JSON ('Content-Type: application/json') or as the files of a form "
            "('multipart/form-data')."
        )
    body = await read_one_of(request, SEVERAL)
    if isinstance(body, ImageUrlsRequest):
        not_too_many(len(body.urls), settings.max_batch_items)
        return [*body.urls]
    if isinstance(body, ImagesRequest):
        not_too_many(len(body.images), settings.max_batch_items)
        return [_or_why_not(image_or_url, image, settings.max_image_bytes) for image in body.images]
    return _of_one(body, settings.max_image_bytes)


SentImage = Annotated[Source, Depends(sent_image)]
SentImages = Annotated[Source | ImageList, Depends(sent_images)]


def _of_one(body: Body, max_bytes: int) -> Source:
    if isinstance(body, ImageUrlRequest):
        return body.url
    assert isinstance(body, ImageRequest)
    return image_or_url(body.image, max_bytes)


def _or_why_not(read: Callable[P, Source], *what: P.args, **more: P.kwargs) -> Source | ServiceError:
    try:
        return read(*what, **more)
    except ServiceError as error:
        return error
