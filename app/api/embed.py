"""`/embed-text` and `/embed-image`: one thing in, one unit vector out."""

from typing import Any

from fastapi import APIRouter, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer

from app.api.bodies import BoundedRoute
from app.api.errors import documented
from app.api.image_forms import IMAGE_BODY, SentImage
from app.api.schemas import ImageEmbedding, TextEmbedding, TextRequest
from app.api.services import FromApp, Services, ShareOfImageBytes
from app.auth import AuthenticatedRoute
from app.embeddings.engines import Vectors
from app.telemetry.timings import measured


class EmbedRoute(AuthenticatedRoute, BoundedRoute):
    """The token first, then the kind and size of the body, then the body."""


# The dependency is what OpenAPI's Authorize button needs; the route class is what checks.
router = APIRouter(
    tags=["embed"],
    route_class=EmbedRoute,
    dependencies=[Security(HTTPBearer(auto_error=False))],
    strict_content_type=False,
)


@router.post("/embed-text", response_model=TextEmbedding, responses=documented(401, 413, 415, 422, 500, 503, 504))
async def embed_text(body: TextRequest, services: FromApp) -> JSONResponse:
    """The unit vector of a text."""
    vector, tokens = await services.embedder.embed_text(body.query)
    return _answer(services, vector, truncated=tokens.truncated)


@router.post(
    "/embed-image",
    response_model=ImageEmbedding,
    responses=documented(401, 413, 415, 422, 500, 502, 503, 504),
    openapi_extra={"requestBody": IMAGE_BODY},
)
async def embed_image(sent: SentImage, services: FromApp, take: ShareOfImageBytes) -> JSONResponse:
    """The unit vector of an image: behind a URL, in JSON, as an uploaded file, or as the body itself."""
    preprocessing = services.embedder.model.preprocessing  # before the fetch: without a model there is no use in it
    data = sent if isinstance(sent, bytes) else await services.fetcher.fetch(sent, take)
    with measured("decode"):
        seen = await services.decoders.look(data, preprocessing)
    vector = await services.embedder.embed_picture(seen.pixels)
    return _answer(services, vector, sha256=seen.sha256, width=seen.width, height=seen.height)


def _answer(services: Services, vector: Vectors, **more: Any) -> JSONResponse:
    model = services.embedder.model
    return JSONResponse(
        {
            "embedding": vector.tolist(),
            "dimensions": model.dimensions,
            "model": services.settings.model_name,
            "pretrained": services.settings.pretrained,
            "device": model.engine.device,
            "space": model.space,
            **more,
        }
    )
