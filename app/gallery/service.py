"""The page alone, before a service somewhere else: a process that computes nothing but thumbnails."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

from app import __version__
from app.api.browsers import NoSniffing
from app.api.middleware import RequestContext
from app.api.pages import GALLERY
from app.config import Settings
from app.errors import SettingsError
from app.gallery.originals import Originals
from app.gallery.pages import Pages
from app.gallery.there import There
from app.gallery.thumbnails import Thumbnails
from app.images.budget import ByteBudget
from app.images.decoders import Decoders
from app.images.fetch import Fetcher
from app.resources import cores
from app.serving.protocol import bounded
from tate_embeddings_client import AsyncClient

# Somebody is waiting; and whoever asks the health of a service that doesn't answer shall hear of it in time.
TIMEOUT_S = 10.0
HEALTH_S = 3.0
# As many pictures of the largest size may be held at once.
LARGE_PICTURES = 4


def create_page(settings: Settings, api_url: str) -> Starlette:
    """The page before the service at a URL.

    Raises:
        SettingsError: there is no service to ask, no token for it, or nobody whom the page is for.
    """
    if not api_url:
        raise SettingsError("VECTOR_API_URL is missing: which service is searched? Example: http://vector_api:8000")
    if not settings.auth_token:
        raise SettingsError("AUTH_TOKEN is missing: the service that is searched asks for it")
    if not settings.has_gallery:
        raise SettingsError(
            "GALLERY_PASSWORD is missing: set what visitors have to enter, or GALLERY_ACCESS=public for everybody"
        )

    def client(timeout_s: float = TIMEOUT_S) -> AsyncClient:
        try:
            return AsyncClient(api_url, settings.auth_token[0], timeout_s=timeout_s)
        except ValueError as error:
            raise SettingsError(f"VECTOR_API_URL is wrong: {error}") from None

    collection, watched = There(client), There(lambda: client(HEALTH_S))
    fetcher = Fetcher(settings, user_agent=f"tate-embeddings/{__version__}")
    decoders = Decoders(settings, cores())
    budget = ByteBudget(max(LARGE_PICTURES * settings.max_image_bytes, settings.max_body_bytes))
    originals = Originals(settings.gallery_pictures_dir, settings.max_image_bytes)
    thumbnails = Thumbnails(settings, originals, fetcher, decoders, budget)
    pages = Pages(settings, collection, thumbnails, originals, budget)

    async def first(request: Request) -> RedirectResponse:
        return RedirectResponse(request.scope.get("root_path", "") + GALLERY, 307)

    async def live(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def health(_: Request) -> JSONResponse:
        ready = await watched.ready()
        return JSONResponse({"status": "healthy" if ready else "loading"}, 200 if ready else 503)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        decoders.start()
        yield
        await decoders.close()
        await fetcher.close()
        await collection.close()
        await watched.close()

    return Starlette(
        routes=[Route("/", first), Route("/live", live), Route("/health", health), *pages.routes()],
        middleware=[Middleware(NoSniffing), Middleware(RequestContext)],
        lifespan=lifespan,
    )


def serve(settings: Settings, api_url: str) -> None:
    """Serve the page until a signal ends it."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when all is done
    uvicorn.run(
        create_page(settings, api_url),
        host=settings.host,
        port=settings.port,
        http=bounded(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=int(settings.grace_s),
    )
