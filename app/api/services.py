"""What routes work with, made once per worker."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.config import Settings
from app.images.budget import ByteBudget, Take
from app.search.searcher import Searcher
from app.serving import Embedder, Pictures


@dataclass(frozen=True)
class Services:
    """The parts that `create_app` puts together; `index` where `INDEX_URL` names one."""

    settings: Settings
    embedder: Embedder
    pictures: Pictures
    image_bytes: ByteBudget
    started: float
    index: Searcher | None = None


def services_of(request: Request) -> Services:
    """The services of the application that a request came to."""
    return cast(Services, request.app.state.services)


# FastAPI would ask a plain function in a thread of its own.
async def _of(request: Request) -> Services:
    return services_of(request)


FromApp = Annotated[Services, Depends(_of)]


async def _index(services: FromApp) -> Searcher:
    assert services.index is not None  # or there would be no such route
    return services.index


IndexFromApp = Annotated[Searcher, Depends(_index)]


async def _share(services: FromApp) -> AsyncIterator[Take]:
    with services.image_bytes.share() as take:
        yield take


# One per request: given back once its answer is out.
ShareOfImageBytes = Annotated[Take, Depends(_share)]
