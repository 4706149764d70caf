"""What the API's description says that FastAPI can't know: tokens and bodies that routes see to, failures, headers."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.openai_schemas import EmbeddingsRequest, OpenAIProblem
from app.api.schemas import (
    ImageRequest,
    ImagesRequest,
    ImageUrlRequest,
    ImageUrlsRequest,
    MixedRequest,
    Problem,
    SingleTextRequest,
    TextRequest,
    TextsRequest,
)
from app.api.search_schemas import (
    IngestRequest,
    SearchByEmbedding,
    SearchByImage,
    SearchByItem,
    SearchByQueries,
    SearchByText,
    SearchByUrl,
)
from app.auth import SCHEME
from app.errors import Internal

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
READ_BY_ROUTES_OF_THE_INDEX: tuple[type[BaseModel], ...] = (
    IngestRequest,
    SearchByEmbedding,
    SearchByImage,
    SearchByItem,
    SearchByQueries,
    SearchByText,
    SearchByUrl,
)
EXAMPLES = {
    400: ("The body is wrong.", "invalid_request", "'texts' is empty."),
    401: ("No valid token.", "unauthorized", "A valid bearer token is needed: send 'Authorization: Bearer <token>'."),
    404: ("There is no such item.", "item_not_found", "The index has no item 'artwork-1842'."),
    409: (
        "The index is of another space than the model.",
        "space_mismatch",
        "The index is of space '5f0c1b2a9d3e4f67', the vectors are of '0d9c1e7b24a6f358'.",
    ),
    413: ("The body, the text or the image is over its limit.", "too_large", "The text has more than 1 MiB."),
    415: (
        "The body's content type is not taken here.",
        "unsupported_media_type",
        "Send the body as 'Content-Type: application/json'.",
    ),
    422: ("The body is wrong, or the image can't be used.", "invalid_request", "'query' is blank."),
    429: (
        "This token has made more requests than it may; see Retry-After.",
        "rate_limited",
        "This token has made more requests than it may; see Retry-After.",
    ),
    500: ("A defect of the service; its log has the reason.", "internal", Internal().detail),
    502: ("The image's host failed.", "image_host_failed", "The image's host could not be reached."),
    503: (
        "Overloaded, loading or stopping, or the index doesn't answer; see Retry-After.",
        "not_ready",
        "The service is loading; try again soon.",
    ),
    504: ("The image's host or the service ran out of time.", "image_host_timeout", "The image's host took too long."),
}
DESCRIPTIONS_FOR_OPENAI = {404: "Another model is served here."}
HEADERS = {
    "X-Request-ID": {"description": "the request's own, or a new one", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "how to authenticate", "schema": {"type": "string", "const": "Bearer"}},
    "Retry-After": {"description": "seconds until another try may help", "schema": {"type": "integer"}},
}
HEADERS_OF_STATUSES = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def operation_id(route: APIRoute) -> str:
    """What a route is called: generators name their functions by it."""
    return route.name


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A route's failures."""
    return {status: _failure(status, Problem) | _example(status) for status in statuses}


def documented_for_openai(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The failures of a route in OpenAI's form."""
    descriptions = {status: {"description": text} for status, text in DESCRIPTIONS_FOR_OPENAI.items()}
    return {status: _failure(status, OpenAIProblem) | descriptions.get(status, {}) for status in statuses}


def json_content(*forms: type[BaseModel], **more: Any) -> dict[str, Any]:
    """What OpenAPI is to say of a JSON body that may have these forms, each of them in one of the lists above."""
    references = [_reference("schemas", form.__name__) for form in forms]
    return {"application/json": {"schema": references[0] if len(forms) == 1 else {"oneOf": references}, **more}}


def documented_body(content: dict[str, Any]) -> dict[str, Any]:
    """What a route says of its body in `openapi_extra`; FastAPI knows of no body that a route reads itself."""
    return {"requestBody": {"required": True, "content": content}}


def complete(app: FastAPI, *, with_index: bool) -> None:
    """Let an app's description say all of this; `with_index` if it has the routes of one."""
    describe = app.openapi
    bodies = (*READ_BY_ROUTES, *(READ_BY_ROUTES_OF_THE_INDEX if with_index else ()))

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _completed(describe(), bodies)
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _failure(status: int, form: type[BaseModel]) -> dict[str, Any]:
    headers = {name: _reference("headers", name) for name in HEADERS_OF_STATUSES.get(status, ())}
    return {"model": form, "description": EXAMPLES[status][0], "headers": headers}


def _example(status: int) -> dict[str, Any]:
    _, code, detail = EXAMPLES[status]
    return {"content": {"application/json": {"example": {"detail": detail, "code": code}}}}


def _completed(document: dict[str, Any], bodies: Sequence[type[BaseModel]]) -> None:
    components = document["components"]
    components["headers"] = HEADERS
    components["securitySchemes"] = {SCHEME: {"type": "http", "scheme": "bearer"}}
    _, definitions = models_json_schema(
        [(model, "validation") for model in bodies], ref_template="#/components/schemas/{model}"
    )
    components["schemas"].update(definitions["$defs"])
    for schema in components["schemas"].values():
        for field in schema["properties"].values():
            field.pop("default", None)  # generators take what has a default for always there
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                response.setdefault("headers", {})["X-Request-ID"] = _reference("headers", "X-Request-ID")


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
