"""`/embed/text`, `/embed/image` and `/embed/mixed`: many things in, a unit vector for each.

An image that can't be had or used doesn't fail its list.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request

from app.api.answers import Answer, with_origin
from app.api.bodies import not_too_many
from app.api.embed import EmbedRoute, one_image, one_text
from app.api.hangups import while_connected
from app.api.image_forms import IMAGES_CONTENT, SentImages
from app.api.json_bodies import json_body, read_one_of
from app.api.openapi import documented, documented_body, json_content, operation_id
from app.api.priority import LIST, urgency
from app.api.schemas import (
    Body,
    ImageEmbedding,
    ImageEmbeddings,
    MixedEmbeddings,
    MixedRequest,
    SingleTextRequest,
    TextEmbedding,
    TextEmbeddings,
    TextsRequest,
)
from app.api.services import FromApp, Services, ShareOfImageBytes
from app.embeddings.engines import Vectors
from app.errors import InvalidRequest, ServiceError
from app.serving import EmbeddedPicture, Source

TEXTS: dict[str, type[Body]] = {"texts": TextsRequest, "text": SingleTextRequest}

router = APIRouter(
    tags=["lists"], route_class=EmbedRoute, generate_unique_id_function=operation_id, strict_content_type=False
)


async def _sent_texts(request: Request) -> Body:
    return await read_one_of(request, TEXTS)


@router.post(
    "/embed/text",
    response_model=TextEmbeddings | TextEmbedding,
    responses=documented(400, 401, 413, 415, 429, 500, 503, 504),
    openapi_extra=documented_body(json_content(*TEXTS.values())),
)
async def embed_texts(request: Request, body: Annotated[Body, Depends(_sent_texts)], services: FromApp) -> Answer:
    """The unit vectors of a list of texts, or of one text."""
    if isinstance(body, SingleTextRequest):
        return await one_text(request, body.text, services)
    assert isinstance(body, TextsRequest)
    not_too_many(len(body.texts), services.settings.max_batch_items)
    work = _texts(body.texts, services, urgency(request, LIST))
    vectors, truncated = await while_connected(request, work)
    return with_origin(services, embeddings=vectors, truncated=truncated)


@router.post(
    "/embed/image",
    response_model=ImageEmbeddings | ImageEmbedding,
    responses=documented(400, 401, 413, 415, 422, 429, 500, 502, 503, 504),
    openapi_extra=documented_body(IMAGES_CONTENT),
)
async def embed_images(request: Request, sent: SentImages, services: FromApp, take: ShareOfImageBytes) -> Answer:
    """The unit vectors of a list of images, or of one image."""
    if not isinstance(sent, list):
        return await one_image(request, sent, services, take)
    vectors, seen = await while_connected(request, _images(sent, services, urgency(request, LIST)))
    return with_origin(services, embeddings=vectors, **seen)


@router.post(
    "/embed/mixed",
    response_model=MixedEmbeddings,
    responses=documented(400, 401, 413, 415, 429, 500, 503, 504),
    openapi_extra=documented_body(json_content(MixedRequest)),
)
async def embed_mixed(
    request: Request, body: Annotated[MixedRequest, json_body(MixedRequest)], services: FromApp
) -> Answer:
    """The unit vectors of texts and of images, in one space."""
    items = len(body.texts) + len(body.urls)
    if not items:
        raise InvalidRequest("Send 'texts', 'urls', or both.")
    not_too_many(items, services.settings.max_batch_items)
    asked = urgency(request, LIST)
    texts, truncated = await while_connected(request, _texts(body.texts, services, asked))
    images, seen = await while_connected(request, _images(body.urls, services, asked))
    return with_origin(services, text_embeddings=texts, truncated=truncated, image_embeddings=images, **seen)


async def _texts(texts: Sequence[str], services: Services, asked: int) -> tuple[Vectors, list[bool]]:
    tokens = await services.embedder.tokenize(texts)
    return await services.embedder.embed_list(tokens, asked), [each.truncated for each in tokens]


async def _images(
    sources: Sequence[Source | ServiceError], services: Services, asked: int
) -> tuple[Vectors, dict[str, list[Any]]]:
    """The vectors of those that could be embedded, and what there is to say of all of them."""
    outcomes = await services.pictures.embed_list(sources, asked)
    seen = {index: outcome for index, outcome in enumerate(outcomes) if isinstance(outcome, EmbeddedPicture)}
    failed = [
        _failed(index, source, outcome)
        for index, (source, outcome) in enumerate(zip(sources, outcomes, strict=True))
        if isinstance(outcome, ServiceError)
    ]
    pictures = seen.values()
    return np.array([picture.vector for picture in pictures], np.float32), {
        "indices": [*seen],
        "failed": failed,
        "sha256": [picture.sha256 for picture in pictures],
        "width": [picture.width for picture in pictures],
        "height": [picture.height for picture in pictures],
    }


def _failed(index: int, source: Source | ServiceError, error: ServiceError) -> dict[str, Any]:
    # JSON can carry half a surrogate pair, UTF-8 can't.
    url = {"url": source.encode(errors="replace").decode()} if isinstance(source, str) else {}
    return {"index": index, **url, "code": error.code, "detail": error.detail}
