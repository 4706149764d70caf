"""The forms in which one image comes in: JSON with a URL or base64, an uploaded file, or the body itself."""

import binascii
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.api.bodies import bounded, content_type, is_json, metered
from app.api.multipart import read_file
from app.api.schemas import EXAMPLE_IMAGE, EXAMPLE_URL, IMAGE_ALTERNATIVES, ImageRequest, ImageUrlRequest
from app.api.services import FromApp, ShareOfImageBytes
from app.errors import InvalidRequest, TooLarge, UnsupportedMediaType

WHITE_SPACE = " \t\n\r\f\v"
STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")

IMAGE_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"oneOf": [ImageUrlRequest.model_json_schema(), ImageRequest.model_json_schema()]},
            "examples": {
                "url": {"summary": "an image to fetch", "value": {"url": EXAMPLE_URL}},
                "image": {"summary": "an image in base64", "value": {"image": EXAMPLE_IMAGE}},
            },
        },
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
    },
}


async def sent_image(request: Request, services: FromApp, take: ShareOfImageBytes) -> bytes | str:
    """The image's bytes, or the URL where they are to be fetched.

    Raises:
        ServiceError: the body is none of the forms, says nothing, or is over a limit.
    """
    max_bytes = services.settings.max_image_bytes
    request = metered(request, take)
    if is_json(request):
        body = await _json(request)
        return body.url if isinstance(body, ImageUrlRequest) else image_or_url(body.image, max_bytes)
    kind = content_type(request)
    if kind == "multipart/form-data":
        return _not_empty(await read_file(request, "file", max_bytes))
    if kind.startswith("image/"):
        return _not_empty(await bounded(request, max_bytes, "image").body())
    raise UnsupportedMediaType(
        "Send the image as JSON ('Content-Type: application/json'), as the file of a form ('multipart/form-data'), "
        "or as the body itself ('image/...')."
    )


SentImage = Annotated[bytes | str, Depends(sent_image)]


def image_or_url(text: str, max_bytes: int) -> bytes | str:
    """What a field `image` says: an image's bytes in base64 or in a `data:` URI, or else the URL to fetch them from.

    Raises:
        InvalidRequest: it is none of these, or empty.
        TooLarge: the image has more than `max_bytes`; nothing was decoded.
    """
    stripped = text.strip(WHITE_SPACE)
    if stripped[:5].lower() == "data:":
        return _not_empty(_from_base64(_of_data_uri(stripped), max_bytes))
    # No base64 has a colon. Which URLs are allowed is the fetcher's to say.
    return text if "://" in stripped else _not_empty(_from_base64(stripped, max_bytes))


async def _json(request: Request) -> ImageUrlRequest | ImageRequest:
    try:
        return IMAGE_ALTERNATIVES.validate_python(await request.json())
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.") from None


def _of_data_uri(uri: str) -> str:
    """What a `data:` URI holds. Its media type isn't believed: the bytes decide."""
    header, comma, content = uri.partition(",")
    if not comma or header.rpartition(";")[2].strip(WHITE_SPACE).lower() != "base64":
        raise InvalidRequest("A 'data:' URI must hold base64: 'data:image/png;base64,...'.")
    return content


def _from_base64(text: str, max_bytes: int) -> bytes:
    """Either alphabet, padded or not, with white space anywhere in it."""
    try:
        encoded = text.encode("ascii").translate(STANDARD_ALPHABET, WHITE_SPACE.encode())
        bare = encoded.rstrip(b"=")
        if len(bare) * 3 // 4 > max_bytes:
            raise TooLarge(f"The image has more than {max_bytes} bytes.")
        padding = -len(bare) % 4
        if len(encoded) - len(bare) not in (0, padding):
            raise ValueError
        return binascii.a2b_base64(bare + b"=" * padding, strict_mode=True)
    except ValueError:  # what isn't ASCII, and binascii's own, are of this kind
        raise InvalidRequest("'image' is neither base64 nor a 'data:' URI nor an http(s) URL.") from None


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise InvalidRequest("The image is empty.")
    return data
