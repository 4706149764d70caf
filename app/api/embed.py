"""`/embed-text` and `/embed-image`: one thing in, one unit vector out."""

from typing import Annotated

from fastapi import APIRouter, Security
from fastapi.security import HTTPBearer

from app.api.answers import Answer, with_origin
from app.api.bodies import BoundedRoute
from app.api.image_forms import IMAGE_CONTENT, SentImage
from app.api.json_bodies import json_body
from app.api.openapi import documented, documented_body, json_content
from app.api.schemas import ImageEmbedding, TextEmbedding, TextRequest
from app.api.services import FromApp, Services, ShareOfImageBytes
from app.auth import AuthenticatedRoute
from app.images.budget import Take
from app.serving import Source


class EmbedRoute(AuthenticatedRoute, BoundedRoute):
    """The token first, then the kind and size of the body, then the body."""


# The dependency is what OpenAPI's Authorize button needs; the route class is what checks.
TOKEN = Security(HTTPBearer(auto_error=False))

router = APIRouter(tags=["embed"], route_class=EmbedRoute, dependencies=[TOKEN], strict_content_type=False)


@router.post(
    "/embed-text",
    response_model=TextEmbedding,
    responses=documented(401, 413, 415, 422, 500, 503, 504),
    openapi_extra=documented_body(json_content(TextRequest)),
)
async def embed_text(body: Annotated[TextRequest, json_body(TextRequest)], services: FromApp) -> Answer:
    """The unit vector of a text."""
    return await one_text(body.query, services)


@router.post(
    "/embed-image",
    response_model=ImageEmbedding,
    responses=documented(401, 413, 415, 422, 500, 502, 503, 504),
    openapi_extra=documented_body(IMAGE_CONTENT),
)
async def embed_image(sent: SentImage, services: FromApp, take: ShareOfImageBytes) -> Answer:
    """The unit vector of an image: behind a URL, in JSON, as an uploaded file, or as the body itself."""
    return await one_image(sent, services, take)


async def one_text(text: str, services: Services) -> Answer:
    """The answer to one text."""
    vector, tokens = await services.embedder.embed_text(text)
    return with_origin(services, embedding=vector, truncated=tokens.truncated)


async def one_image(source: Source, services: Services, take: Take) -> Answer:
    """The answer to one image."""
    seen = await services.pictures.embed(source, take)
    return with_origin(services, embedding=seen.vector, sha256=seen.sha256, width=seen.width, height=seen.height)
