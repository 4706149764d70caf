"""`/search`: what of the index is nearest to words, images, other items, vectors, or a mix of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from fastapi import APIRouter, Request

from app.api.answers import Answer, with_origin
from app.api.embed import EmbedRoute
from app.api.hangups import while_connected
from app.api.openapi import documented, documented_body, operation_id
from app.api.priority import PICTURE, TEXT, urgency
from app.api.search_forms import SEARCH_CONTENT, Search, SentSearch, Sought
from app.api.search_schemas import SearchResults
from app.api.services import FromApp, IndexFromApp, Services, ShareOfImageBytes
from app.embeddings.engines import Vectors
from app.images.budget import Take
from app.search.queries import mixed
from app.search.searcher import Searcher
from app.search.store import Found
from app.serving.embedder import gathered

router = APIRouter(
    tags=["search"], route_class=EmbedRoute, generate_unique_id_function=operation_id, strict_content_type=False
)


@router.post(
    "/search",
    response_model=SearchResults,
    responses=documented(401, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504),
    openapi_extra=documented_body(SEARCH_CONTENT),
)
async def search(
    request: Request, sent: SentSearch, services: FromApp, index: IndexFromApp, take: ShareOfImageBytes
) -> Answer:
    """The items of the index that are nearest to a text, an image, another item, a vector, or a mix of these."""
    with_pictures = any(each.image is not None for each in sent.sought)
    asked = urgency(request, PICTURE if with_pictures else TEXT)
    return await while_connected(request, _answer(sent, services, index, take, asked))


async def _answer(sent: Search, services: Services, index: Searcher, take: Take, asked: int) -> Answer:
    outcome = await searched(sent, services, index, take, asked)
    results = [{"id": each.id, "score": each.score, "metadata": each.metadata} for each in outcome.found]
    return with_origin(services, results=results, took_ms=outcome.took_ms, truncated=outcome.truncated)


@dataclass(frozen=True)
class Outcome:
    """What was found, how long the index took, and whether a text was longer than the model's context."""

    found: Sequence[Found]
    took_ms: float
    truncated: bool


async def searched(sent: Search, services: Services, index: Searcher, take: Take, asked: int) -> Outcome:
    """Do a search of this urgency; bytes that are fetched for it are taken from a budget.

    Raises:
        ServiceError: something that is sought has no vector, or the index can't be searched with it.
    """
    space = services.embedder.model.space
    items = [each.item for each in sent.sought if each.item is not None]
    async with services.embedder.deadline():
        known = await index.vectors(items, space) if items else {}
        vector, truncated = await _embedded(sent.sought, known, services, take, asked)
        begun = perf_counter()
        found = await index.search(
            vector, space, sent.where, k=sent.k, offset=sent.offset, min_score=sent.min_score, without=items
        )
        took_ms = (perf_counter() - begun) * 1000
    return Outcome(found, round(took_ms, 1), truncated)


async def _embedded(
    sought: Sequence[Sought], known: dict[str, Vectors], services: Services, take: Take, asked: int
) -> tuple[Vectors, bool]:
    """One unit vector for all that is sought, and whether a text of it was too long."""
    vectors: dict[int, Vectors] = {}
    cut = []

    async def embed(place: int, each: Sought) -> None:
        if each.text is not None:
            tokens = await services.embedder.tokenize_one(each.text)
            cut.append(tokens.truncated)
            vectors[place] = await services.embedder.embed_tokens(tokens, asked)
        elif each.image is not None:
            vectors[place] = (await services.pictures.embed(each.image, take, asked)).vector
        elif each.item is not None:
            vectors[place] = known[each.item]
        else:
            assert each.vector is not None
            vectors[place] = each.vector

    await gathered(embed(place, each) for place, each in enumerate(sought))
    in_order = [vectors[place] for place in range(len(sought))]
    return mixed(in_order, [each.weight for each in sought]), any(cut)
