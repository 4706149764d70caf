"""What FastAPI can't know of the API's description: bodies that routes read themselves."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.openai_schemas import EmbeddingsRequest
from app.api.schemas import (
    ImageRequest,
    ImagesRequest,
    ImageUrlRequest,
    ImageUrlsRequest,
    MixedRequest,
    SingleTextRequest,
    TextRequest,
    TextsRequest,
)

READ_BY_ROUTES: tuple[type[BaseModel], ...] = (
    EmbeddingsRequest,
    ImageRequest,
    ImagesRequest,
    ImageUrlRequest,
    ImageUrlsRequest,
    MixedRequest,
    SingleTextRequest,
    TextRequest,
    TextsRequest,
)


def complete(app: FastAPI) -> None:
    """Let an app's description have the bodies that FastAPI doesn't know."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _, definitions = models_json_schema(
                [(model, "validation") for model in READ_BY_ROUTES], ref_template="#/components/schemas/{model}"
            )
            describe()["components"]["schemas"].update(definitions["$defs"])
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it
