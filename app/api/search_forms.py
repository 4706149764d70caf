"""The forms in which searches come in: JSON, or a form with an uploaded image."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from app.api.bodies import content_type, is_json, metered
from app.api.given_vectors import check_served, unit
from app.api.inline_images import image_or_url, not_empty
from app.api.json_bodies import from_text, read_one_of, validated
from app.api.multipart import read_file_and_texts
from app.api.openapi import json_content
from app.api.schemas import EXAMPLE_IMAGE, EXAMPLE_URL
from app.api.search_schemas import (
    EXAMPLE_ID,
    MOST_RESULTS,
    AnyQuery,
    EmbeddingQuery,
    ImageQuery,
    ItemQuery,
    SearchByEmbedding,
    SearchByImage,
    SearchByItem,
    SearchByQueries,
    SearchByText,
    SearchByUrl,
    SearchOptions,
    TextQuery,
    UrlQuery,
)
from app.api.services import FromApp, Services, ShareOfImageBytes
from app.embeddings import EmbeddingModel
from app.embeddings.engines import Vectors
from app.errors import InvalidRequest, UnsupportedMediaType
from app.search.filters import Filter, parsed
from app.search.store import DEEPEST
from app.serving import Source

# So much of a body isn't counted as an image's bytes: while images are refused, texts aren't.
BODY_OF_A_TEXT = 64 * 1024

FORMS: dict[str, type[SearchOptions]] = {
    "query": SearchByText,
    "url": SearchByUrl,
    "image": SearchByImage,
    "id": SearchByItem,
    "embedding": SearchByEmbedding,
    "queries": SearchByQueries,
}
SEARCH_CONTENT: dict[str, Any] = {
    **json_content(
        *FORMS.values(),
        examples={
            "query": {"summary": "near to a text", "value": {"query": "a stormy sea at night", "k": 5}},
            "url": {"summary": "near to an image to fetch", "value": {"url": EXAMPLE_URL}},
            "image": {"summary": "near to an image in base64", "value": {"image": EXAMPLE_IMAGE}},
            "id": {"summary": "near to another item", "value": {"id": EXAMPLE_ID}},
            "embedding": {"summary": "near to a vector", "value": {"embedding": [0.0132, -0.0417, 0.0251]}},
            "queries": {
                "summary": "near to some, far from others",
                "value": {"queries": [{"text": "a stormy sea at night"}, {"text": "ships", "weight": -0.5}]},
            },
        },
    ),
    "multipart/form-data": {
        "schema": {
            "title": "SearchUpload",
            "description": "Items near to an uploaded image.",
            "type": "object",
            "properties": {
                "file": {"type": "string", "format": "binary"},
                "k": {"type": "integer", "minimum": 1, "maximum": MOST_RESULTS},
                "offset": {"type": "integer", "minimum": 0, "maximum": DEEPEST},
                "min_score": {"type": "number", "minimum": -1, "maximum": 1},
                "filter": {"type": "string", "description": "the JSON of a filter"},
            },
            "required": ["file"],
            "additionalProperties": False,
        },
    },
}


@dataclass(frozen=True)
class Sought:
    """Something to be near to, or far from: one of a text, an image, an item of the index, and a unit vector."""

    text: str | None = None
    image: Source | None = None
    item: str | None = None
    vector: Vectors | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Search:
    """What is searched for, and how many of which results are wanted."""

    sought: list[Sought]
    where: Filter
    k: int
    offset: int
    min_score: float | None


async def sent_search(request: Request, services: FromApp, take: ShareOfImageBytes) -> Search:
    """The search that a request asks for.

    Raises:
        ServiceError: the body is none of the forms, says nothing, or is over a limit.
    """
    max_bytes = services.settings.max_image_bytes
    request = metered(request, take, free=BODY_OF_A_TEXT)
    if is_json(request):
        body = await read_one_of(request, FORMS)
        return _search(_sought(body, services), body)
    if content_type(request) == "multipart/form-data":
        file, texts = await read_file_and_texts(request, "file", max_bytes, SearchOptions.model_fields)
        options = validated(SearchOptions, {name: from_text(text) for name, text in texts.items()})
        return _search([Sought(image=not_empty(file))], options)
    raise UnsupportedMediaType(
        "Send the search as JSON ('Content-Type: application/json'), or an image as the file of a form "
        "('multipart/form-data')."
    )


SentSearch = Annotated[Search, Depends(sent_search)]


def _search(sought: list[Sought], options: SearchOptions) -> Search:
    if options.offset + options.k > DEEPEST:
        raise InvalidRequest(f"'offset' and 'k' together may be at most {DEEPEST}.")
    where = parsed(options.filter or {})
    return Search(sought, where, options.k, options.offset, options.min_score)


def _sought(body: SearchOptions, services: Services) -> list[Sought]:
    if isinstance(body, SearchByQueries):
        return [_one_of_several(query, services) for query in body.queries]
    if isinstance(body, SearchByText):
        return [Sought(text=body.query)]
    if isinstance(body, SearchByItem):
        return [Sought(item=body.id)]
    if isinstance(body, SearchByEmbedding):
        return [Sought(vector=_given(body, services.embedder.model))]
    if isinstance(body, SearchByUrl):
        return [Sought(image=body.url)]
    assert isinstance(body, SearchByImage)
    return [Sought(image=image_or_url(body.image, services.settings.max_image_bytes))]


def _one_of_several(query: AnyQuery, services: Services) -> Sought:
    if isinstance(query, TextQuery):
        return Sought(text=query.text, weight=query.weight)
    if isinstance(query, ItemQuery):
        return Sought(item=query.id, weight=query.weight)
    if isinstance(query, EmbeddingQuery):
        return Sought(vector=_given(query, services.embedder.model), weight=query.weight)
    if isinstance(query, UrlQuery):
        return Sought(image=query.url, weight=query.weight)
    assert isinstance(query, ImageQuery)
    return Sought(image=image_or_url(query.image, services.settings.max_image_bytes), weight=query.weight)


def _given(sent: SearchByEmbedding | EmbeddingQuery, model: EmbeddingModel) -> Vectors:
    check_served(sent.space, model)
    return unit(sent.embedding, model)
