"""`/embed-text` and `/embed-image`: one thing in, one unit vector out."""

from fastapi import APIRouter, Request

from app.api.answers import Answer, with_origin
from app.api.bodies import BoundedRoute
from app.api.hangups import while_connected
from app.api.image_forms import IMAGE_CONTENT, SentImage
from app.api.json_bodies import read_json
from app.api.openapi import documented, documented_body, json_content, operation_id
from app.api.priority import PICTURE, TEXT, urgency
from app.api.rates import RatedRoute
from app.api.schemas import ImageEmbedding, TextEmbedding, TextRequest
from app.api.services import FromApp, Services, ShareOfImageBytes, services_of
from app.auth import AuthenticatedRoute
from app.images.budget import Take
from app.serving import Source


class EmbedRoute(AuthenticatedRoute, RatedRoute, BoundedRoute):
    """The token first, then how many requests it has made, then the kind and size of the body, then the body."""


router = APIRouter(
    tags=["embed"], route_class=EmbedRoute, generate_unique_id_function=operation_id, strict_content_type=False
)


@router.post(
    "/embed-text",
    response_model=TextEmbedding,
    responses=documented(401, 413, 415, 422, 429, 500, 503, 504),
    openapi_extra=documented_body(json_content(TextRequest)),
)
async def embed_text(request: Request) -> Answer:
    """The unit vector of a text."""
    # Asked for as dependencies, these two would be a tenth of what the route costs beside the model.
    body = await read_json(request, TextRequest)
    return await one_text(request, body.query, services_of(request))


@router.post(
    "/embed-image",
    response_model=ImageEmbedding,
    responses=documented(401, 413, 415, 422, 429, 500, 502, 503, 504),
    openapi_extra=documented_body(IMAGE_CONTENT),
)
async def embed_image(request: Request, sent: SentImage, services: FromApp, take: ShareOfImageBytes) -> Answer:
    """The unit vector of an image: behind a URL, in JSON, as an uploaded file, or as the body itself."""
    return await one_image(request, sent, services, take)


async def one_text(request: Request, text: str, services: Services) -> Answer:
    """The answer to one text."""
    embedder = services.embedder
    tokens = await embedder.tokenize_one(text)
    vector = embedder.recall(tokens)
    if vector is None:
        vector = await while_connected(request, embedder.embed_tokens(tokens, urgency(request, TEXT)))
    return with_origin(services, embedding=vector, truncated=tokens.truncated)


async def one_image(request: Request, source: Source, services: Services, take: Take) -> Answer:
    """The answer to one image."""
    seen = await while_connected(request, services.pictures.embed(source, take, urgency(request, PICTURE)))
    return with_origin(services, embedding=seen.vector, sha256=seen.sha256, width=seen.width, height=seen.height)
