"""`/ingest` and `DELETE /items/{id}`: what goes into the index and out of it.

An item that can't be used doesn't fail those beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError

from app.api.answers import Answer
from app.api.bodies import BoundedRoute, metered, not_too_many
from app.api.errors import first_fault
from app.api.given_vectors import check_served, unit
from app.api.hangups import while_connected
from app.api.inline_images import image_or_url
from app.api.item_ids import ITEM, ItemInPath
from app.api.json_bodies import one_of, read_json
from app.api.openapi import documented, documented_body, json_content, operation_id
from app.api.priority import LIST, urgency
from app.api.rates import RatedRoute
from app.api.search_schemas import (
    Deleted,
    EmbeddedItem,
    ImageItem,
    IndexItem,
    Ingested,
    IngestRequest,
    UrlItem,
)
from app.api.services import FromApp, IndexFromApp, Services, ShareOfImageBytes
from app.auth import AdminRoute
from app.embeddings import EmbeddingModel
from app.embeddings.engines import Vectors
from app.errors import InvalidRequest, ServiceError, TooLarge
from app.search.searcher import Searcher
from app.search.store import Item, is_id, storable
from app.serving import Source
from app.telemetry.metrics import FAILED

# What may be said of an item: a page of results has to hold a thousand of them.
MAX_METADATA_BYTES = 64 * 1024

ITEMS: dict[str, type[IndexItem]] = {"embedding": EmbeddedItem, "url": UrlItem, "image": ImageItem}


class IndexRoute(AdminRoute, RatedRoute, BoundedRoute):
    """As every route that gives work, but for those who may change the index."""


router = APIRouter(
    tags=["search"], route_class=IndexRoute, generate_unique_id_function=operation_id, strict_content_type=False
)


@dataclass(frozen=True)
class _Given:
    """An item whose vector is there, or is still to be made of an image."""

    id: str
    metadata: Mapping[str, Any]
    vector: Vectors | None = None
    image: Source | None = None


async def _sent(request: Request, take: ShareOfImageBytes) -> IngestRequest:
    return await read_json(metered(request, take), IngestRequest)


@router.post(
    "/ingest",
    response_model=Ingested,
    responses=documented(401, 409, 413, 415, 422, 429, 500, 503, 504),
    openapi_extra=documented_body(json_content(IngestRequest)),
)
async def ingest(
    request: Request, body: Annotated[IngestRequest, Depends(_sent)], services: FromApp, index: IndexFromApp
) -> Answer:
    """Put items into the index: vectors, or images to embed. What has the id of one is replaced."""
    not_too_many(len(body.items), services.settings.max_batch_items)
    return await while_connected(request, _ingested(body.items, services, index, urgency(request, LIST)))


@router.delete(ITEM, response_model=Deleted, responses=documented(401, 422, 429, 500, 503, 504))
async def delete_item(request: Request, item: ItemInPath, services: FromApp, index: IndexFromApp) -> Answer:
    """Take an item out of the index. It's no failure if there was none."""
    async with services.embedder.deadline():
        return Answer({"deleted": await while_connected(request, index.take_out(item))})


async def _ingested(raw: Sequence[Any], services: Services, index: Searcher, asked: int) -> Answer:
    model = services.embedder.model
    given = await run_sync(_read, raw, model, services.settings.max_image_bytes)
    to_embed = {
        place: each.image for place, each in enumerate(given) if isinstance(each, _Given) and each.image is not None
    }
    outcomes = await services.pictures.embed_list([*to_embed.values()], asked)
    seen = dict(zip(to_embed, outcomes, strict=True))
    items, failed = [], []
    for place, each in enumerate(given):
        outcome = seen.get(place, each)
        if isinstance(outcome, ServiceError):
            failed.append(_failed(place, raw[place], outcome))
            continue
        assert isinstance(each, _Given)
        vector = outcome.vector
        assert vector is not None
        items.append(Item(each.id, vector, each.metadata))
    if items:
        async with services.embedder.deadline():
            await index.put_in(items, model.space)
    index.count(FAILED, len(failed))
    return Answer({"ingested": len(items), "failed": failed, "space": model.space})


def _read(raw: Sequence[Any], model: EmbeddingModel, max_image_bytes: int) -> list[_Given | ServiceError]:
    """Items as they were sent; one that can't be used is the reason why. Of several with one id the first counts."""
    read: list[_Given | ServiceError] = []
    ids: set[str] = set()
    for item in raw:
        try:
            given = _given(item, model, max_image_bytes)
            if given.id in ids:
                raise InvalidRequest("Another item of this request has this 'id' already.")
            read.append(given)
            ids.add(given.id)
        except ServiceError as error:
            read.append(error)
    return read


def _given(raw: Any, model: EmbeddingModel, max_image_bytes: int) -> _Given:
    if not isinstance(raw, dict):
        raise InvalidRequest("An item must be a JSON object.")
    try:
        item = one_of(ITEMS, raw)
    except RequestValidationError as error:
        raise first_fault(error) from None
    check_served(item.space, model)
    metadata = _metadata(item.metadata)
    if isinstance(item, EmbeddedItem):
        return _Given(item.id, metadata, vector=unit(item.embedding, model))
    if isinstance(item, UrlItem):
        return _Given(item.id, metadata, image=item.url)
    assert isinstance(item, ImageItem)
    return _Given(item.id, metadata, image=image_or_url(item.image, max_image_bytes))


def _metadata(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said of an item, as every store can keep it and every answer can say it."""
    try:
        metadata: Mapping[str, Any] = storable(given)
        size = len(orjson.dumps([[[metadata]]]))  # as deep as it stands in an answer
    except (RecursionError, TypeError):
        raise InvalidRequest("'metadata' is nested too deeply.") from None
    if size > MAX_METADATA_BYTES:
        raise TooLarge(f"'metadata' has more than {MAX_METADATA_BYTES} bytes.")
    return metadata


def _failed(place: int, raw: Any, error: ServiceError) -> dict[str, Any]:
    named = {"id": raw["id"]} if isinstance(raw, dict) and is_id(raw.get("id")) else {}
    return {"index": place, **named, "code": error.code, "detail": error.detail}
