"""`/index` and `/items`: what the index is, and what is in it. Nothing is embedded for that."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from app.api.answers import Answer
from app.api.embed import EmbedRoute
from app.api.hangups import while_connected
from app.api.item_ids import ITEM, ItemInPath
from app.api.json_bodies import from_text, validated
from app.api.openapi import documented, operation_id
from app.api.search_schemas import AboutIndex, KeptItem, KeptItems, SomeItems
from app.api.services import FromApp, IndexFromApp
from app.errors import InvalidRequest
from app.search.fields import Field

router = APIRouter(tags=["search"], route_class=EmbedRoute, generate_unique_id_function=operation_id)


LIMIT = {
    "name": "limit",
    "in": "query",
    "required": False,
    "schema": SomeItems.model_json_schema()["properties"]["limit"],
}


async def _wanted(request: Request) -> SomeItems:
    given = request.query_params
    for name in given:
        if len(given.getlist(name)) > 1:
            raise InvalidRequest(f"'{name}' came more than once.")
    return validated(SomeItems, {name: from_text(text) for name, text in given.items()})


@router.get("/index", response_model=AboutIndex, responses=documented(401, 500, 503, 504))
async def about_index(request: Request, services: FromApp, index: IndexFromApp) -> Answer:
    """What the index is, and what filters can be made of."""
    async with services.embedder.deadline():
        about = await while_connected(request, index.about())
        fields = await while_connected(request, index.fields()) if about.count else {}
    return Answer(
        {
            "count": about.count,
            "space": about.space,
            "dimensions": about.dimensions,
            "kind": index.kind,
            "model": services.settings.model_name,
            "pretrained": services.settings.pretrained,
            "fields": {name: _described(field) for name, field in fields.items()},
        }
    )


@router.get(
    "/items",
    response_model=KeptItems,
    responses=documented(401, 422, 500, 503, 504),
    openapi_extra={"parameters": [LIMIT]},
)
async def list_items(
    request: Request, wanted: Annotated[SomeItems, Depends(_wanted)], services: FromApp, index: IndexFromApp
) -> Answer:
    """Some items of the index, in no particular order."""
    async with services.embedder.deadline():
        items = await while_connected(request, index.some(wanted.limit))
    return Answer({"items": [{"id": item.id, "metadata": item.metadata} for item in items]})


@router.get(ITEM, response_model=KeptItem, responses=documented(401, 404, 422, 500, 503, 504))
async def get_item(request: Request, item: ItemInPath, services: FromApp, index: IndexFromApp) -> Answer:
    """What is kept under an id."""
    async with services.embedder.deadline():
        return Answer({"id": item, "metadata": await while_connected(request, index.item(item))})


def _described(field: Field) -> dict[str, Any]:
    bounds = {} if field.lowest is None else {"lowest": field.lowest, "highest": field.highest}
    return {"values": field.values, "distinct": field.distinct, **bounds}
