"""Ids of items in paths: whatever letters an item's id has."""

from typing import Annotated

from fastapi import Depends, Path
from starlette.convertors import PathConvertor, register_url_convertor

from app.api.search_schemas import EXAMPLE_ID, NOT_BLANK
from app.errors import InvalidRequest
from app.search.store import MAX_ID_BYTES, is_id


class _AnyText(PathConvertor):
    """What is left of a path. Starlette's own takes no line breaks, which an id may have."""

    regex = r"[\s\S]*"


register_url_convertor("text", _AnyText())
ITEM = "/items/{id:text}"


async def _item(
    item: Annotated[
        str, Path(alias="id", description="percent-encoded", examples=[EXAMPLE_ID], json_schema_extra=NOT_BLANK)
    ],
) -> str:
    if not is_id(item):
        raise InvalidRequest(f"The id is blank, has a NUL, or more than {MAX_ID_BYTES} bytes.")
    return item


# The id in the path `ITEM`.
ItemInPath = Annotated[str, Depends(_item)]
