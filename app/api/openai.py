"""OpenAI's API on top of this model: `/v1/embeddings` and `/v1/models`."""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Request

from app.api.answers import Answer
from app.api.bodies import metered, not_too_many
from app.api.embed import EmbedRoute
from app.api.hangups import while_connected
from app.api.inline_images import image_or_url
from app.api.json_bodies import read_json
from app.api.openai_schemas import EmbeddingsRequest, Item, OpenAIEmbeddings, OpenAIModel, OpenAIModels
from app.api.openapi import documented_body, documented_for_openai, json_content, operation_id
from app.api.priority import LIST, PICTURE, TEXT, urgency
from app.api.schemas import ImageRequest, ImageUrlRequest
from app.api.services import FromApp, Services, ShareOfImageBytes
from app.embeddings.engines import Vectors
from app.embeddings.tokenizer import Tokens
from app.errors import InvalidRequest, ServiceError, UnknownModel
from app.serving import Source

# What OpenAI takes, and what its clients therefore split their lists into.
MOST_INPUTS = 2048
# A text may well begin with "data:"; one that goes on like this is an image.
DATA_URI = re.compile(r"\s*data:[^,;\s]*(;[^,;\s]*)*;base64,", re.IGNORECASE)

router = APIRouter(
    prefix="/v1",
    tags=["openai"],
    route_class=EmbedRoute,
    generate_unique_id_function=operation_id,
    strict_content_type=False,
)


async def _sent(request: Request, take: ShareOfImageBytes) -> EmbeddingsRequest:
    return await read_json(metered(request, take), EmbeddingsRequest)


@router.post(
    "/embeddings",
    response_model=OpenAIEmbeddings,
    responses=documented_for_openai(400, 401, 404, 413, 415, 422, 429, 500, 502, 503, 504),
    openapi_extra=documented_body(json_content(EmbeddingsRequest)),
)
async def create_embedding(
    request: Request, body: Annotated[EmbeddingsRequest, Depends(_sent)], services: FromApp
) -> Answer:
    """Unit vectors of texts, token ids and images, as OpenAI's clients ask for them."""
    model = services.embedder.model
    if body.model != services.settings.model_name:
        with _blamed("model"):
            raise UnknownModel(f"This model is not served here; '{services.settings.model_name}' is.")
    if body.dimensions and body.dimensions > model.dimensions:
        with _blamed("dimensions"):
            raise InvalidRequest(f"The model's vectors have {model.dimensions} numbers.")
    items, names = _items(body.input)
    not_too_many(len(items), max(MOST_INPUTS, services.settings.max_batch_items))
    vectors, tokens = await while_connected(request, _embedded(request, items, names, services))
    if body.dimensions:
        vectors = vectors[:, : body.dimensions]
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Answer(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
                for index, vector in enumerate(vectors)
            ],
            "model": services.settings.model_name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "space": model.space,
        }
    )


@router.get("/models", responses=documented_for_openai(401, 500))
async def list_models(services: FromApp) -> OpenAIModels:
    """The model that is served."""
    name = services.settings.model_name
    model = OpenAIModel(id=name, object="model", created=int(services.started), owned_by="tate-embeddings")
    return OpenAIModels(object="list", data=[model])


def _items(given: Item | list[Item]) -> tuple[list[Item], list[str]]:
    """The things to embed, and their names within the request."""
    if isinstance(given, list) and not isinstance(given[0], int):
        return given, [f"input[{place}]" for place in range(len(given))]
    return [given], ["input"]


async def _embedded(
    request: Request, items: Sequence[Item], names: Sequence[str], services: Services
) -> tuple[Vectors, int]:
    """The items' vectors, in their order, and how many tokens the model read.

    Raises:
        ServiceError: one of them can't be embedded; its `field` says which.
    """
    embedder = services.embedder
    sources: dict[int, Source] = {}
    texts: dict[int, str] = {}
    tokens: dict[int, Tokens] = {}
    for place, item in enumerate(items):
        with _blamed(names[place]):
            if isinstance(item, ImageUrlRequest):
                sources[place] = item.url
            elif isinstance(item, ImageRequest):
                sources[place] = image_or_url(item.image, services.settings.max_image_bytes)
            elif isinstance(item, list):
                tokens[place] = embedder.model.accept_ids(item)
            elif DATA_URI.match(item):
                sources[place] = image_or_url(item, services.settings.max_image_bytes)
            else:
                texts[place] = item
    not_too_many(len(sources), services.settings.max_batch_items)
    tokens |= zip(texts, await embedder.tokenize([*texts.values()]), strict=True)
    vectors = np.empty((len(items), embedder.model.dimensions), np.float32)
    alone = len(items) == 1
    if alone and tokens:
        vectors[0] = await embedder.embed_tokens(tokens[0], urgency(request, TEXT))
    else:
        vectors[[*tokens]] = await embedder.embed_list([*tokens.values()], urgency(request, LIST))
    asked = urgency(request, PICTURE if alone else LIST)
    for place, outcome in zip(sources, await services.pictures.embed_list([*sources.values()], asked), strict=True):
        with _blamed(names[place]):
            if isinstance(outcome, ServiceError):
                raise outcome
            vectors[place] = outcome.vector
    return vectors, sum(len(each.ids) for each in tokens.values())


def _encoded(vector: Vectors, encoding: str | None) -> Vectors | str:
    return b64encode(vector.astype("<f4").tobytes()).decode() if encoding == "base64" else vector


@contextmanager
def _blamed(field: str) -> Iterator[None]:
    """Let a failure say which part of the request it comes from."""
    try:
        yield
    except ServiceError as error:
        raise error.at(field) from error.__cause__
