"""What routes work with, made once per worker."""

from dataclasses import dataclass
from typing import Annotated, cast

from anyio import CapacityLimiter
from fastapi import Depends, Request

from app.config import Settings
from app.images.fetch import Fetcher
from app.serving import Embedder


@dataclass(frozen=True)
class Services:
    """The parts that `create_app` puts together."""

    settings: Settings
    embedder: Embedder
    fetcher: Fetcher
    # A decoded picture takes four bytes a pixel and a core: as many at once as there are cores, and no more.
    decoding: CapacityLimiter


def _of(request: Request) -> Services:
    return cast(Services, request.app.state.services)


FromApp = Annotated[Services, Depends(_of)]
