"""What routes work with, made once per worker."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from app.config import Settings
from app.images.budget import ByteBudget, Take
from app.serving import Embedder, Pictures


@dataclass(frozen=True)
class Services:
    """The parts that `create_app` puts together."""

    settings: Settings
    embedder: Embedder
    pictures: Pictures
    image_bytes: ByteBudget
    started: float


def services_of(request: Request) -> Services:
    """The services of the application that a request came to."""
    return cast(Services, request.app.state.services)


# FastAPI would ask a plain function in a thread of its own.
async def _of(request: Request) -> Services:
    return services_of(request)


FromApp = Annotated[Services, Depends(_of)]


async def _share(services: FromApp) -> AsyncIterator[Take]:
    with services.image_bytes.share() as take:
        yield take


# One per request: given back once its answer is out.
ShareOfImageBytes = Annotated[Take, Depends(_share)]
