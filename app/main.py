"""Wiring only: settings in, an application out. `uvicorn app.main:app` finds `app` here."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.routing import BaseRoute

from app import __version__
from app.api import embed, errors, index, ingest, lists, metrics, openai, openapi, pages, search, status
from app.api.browsers import NoSniffing, allow_origins
from app.api.middleware import RequestContext
from app.api.rates import Rates
from app.api.services import Services
from app.api.shedding import Shedding
from app.api.traced import Traced
from app.auth import tokens_of
from app.config import Settings, traces_are_asked_for
from app.embeddings import EmbeddingModel
from app.embeddings.engines.choice import choose
from app.embeddings.model import prepare
from app.errors import StartError
from app.gallery.here import Here
from app.gallery.originals import Originals
from app.gallery.pages import Pages
from app.gallery.thumbnails import Thumbnails
from app.images.budget import ByteBudget
from app.images.decoders import Decoders
from app.images.fetch import MAX_CONNECTIONS, Fetcher
from app.resources import cores
from app.search.opening import folder_of, opened
from app.search.searcher import Searcher
from app.serving import Embedder, Pictures
from app.telemetry import logs
from app.telemetry.metrics import served

if TYPE_CHECKING:
    from app.telemetry.tracing import Traces

logger = logging.getLogger(__name__)

# A thread that has computed vectors waits so long for the event loop to let it go on, and the engine waits with it:
# with Python's usual 5 ms for a sixth of the time when many ask short queries.
SWITCH_INTERVAL_S = 0.0005
# As many images of the largest size may be held at once, and always one body of the largest size.
LARGE_IMAGES = 8
# FastAPI's own traces have paths and queries in them, and looking whether they are wanted costs each request.
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
DESCRIPTION = "CLIP embeddings over HTTP: words and pictures in, L2-normalised vectors of one space out."


def create_app(settings: Settings, *, device_index: int = 0, threads: int | None = None, workers: int = 1) -> FastAPI:
    """The application for one of so many workers. Its model begins to load when the application starts.

    Raises:
        SettingsError: there is no token to protect it with.
        StartError: traces or an index are asked for, and what is needed for them isn't installed.
    """
    tokens = tokens_of(settings)
    searcher = _index(settings)

    def load() -> EmbeddingModel:
        model = EmbeddingModel(
            settings.model_name, settings.pretrained, settings=settings, device_index=device_index, threads=threads
        )
        served(
            model=settings.model_name,
            pretrained=settings.pretrained,
            space=model.space,
            engine=model.engine.name,
            precision=model.engine.precision,
            device=model.engine.device,
        )
        return model

    limits = {"max_queue": settings.max_queue_items, "cache_items": settings.cache_items}
    embedder = Embedder(
        load, timeout_s=settings.request_timeout_s, inference_timeout_s=settings.inference_timeout_s, **limits
    )
    traces = _traces()
    passed_on = traces.passed_on if traces and settings.trace_image_hosts else dict
    fetcher = Fetcher(settings, user_agent=f"tate-embeddings/{__version__}", passed_on=passed_on)
    decoders = Decoders(settings, threads or cores())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        # Names are looked up in these threads, and one whose name server is silent keeps its thread for long.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MAX_CONNECTIONS, "look-up"))
        if settings.demonstration:
            logger.warning("%s is a demonstration: it knows generated pictures and no real ones", settings.model_name)
        if traces:
            traces.start()
        decoders.start()
        embedder.start()
        async with _looked_after(searcher, embedder):
            yield
        await embedder.stop()
        await decoders.close()
        await fetcher.close()
        if traces:
            await traces.stop()

    rooms = (status, metrics, embed, lists, openai, *((search, index, ingest) if searcher else ()))
    app = FastAPI(
        title="tate-embeddings",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        telemetry=NO_TELEMETRY,
        # Included as routers, they would be gone through twice for each request.
        routes=[route for room in rooms for route in room.router.routes],
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
    )
    app.state.tokens = tokens
    app.state.rates = Rates(settings.rate_limit, workers) if settings.rate_limit else None
    image_bytes = ByteBudget(max(LARGE_IMAGES * settings.max_image_bytes, settings.max_body_bytes))
    pictures = Pictures(embedder, fetcher, decoders, image_bytes, timeout_s=settings.request_timeout_s, **limits)
    services = app.state.services = Services(settings, embedder, pictures, image_bytes, time.time(), searcher)
    app.router.routes += _page(services, fetcher, decoders)
    errors.install(app)
    openapi.complete(app, with_index=searcher is not None)
    if settings.docs_enabled:
        pages.add_documentation(app)
    app.add_middleware(Shedding)
    app.add_middleware(RequestContext)
    if traces:
        app.add_middleware(Traced, traces=traces)
    if settings.cors_origins:
        allow_origins(app, settings.cors_origins)
    app.add_middleware(NoSniffing)
    return app


def _index(settings: Settings) -> Searcher | None:
    """What searches the index that `INDEX_URL` names, if it names one."""
    if not settings.index_url:
        return None
    return Searcher(opened(settings.index_url), most_waiting=settings.max_queue_items)


def _page(services: Services, fetcher: Fetcher, decoders: Decoders) -> list[BaseRoute]:
    """The routes of the page where people search, if there is something to search and somebody may."""
    settings = services.settings
    if not services.index:
        return []
    if not settings.has_gallery:
        logger.info("the page at /gallery is off: neither GALLERY_PASSWORD nor GALLERY_ACCESS=public is set")
        return []
    folder = settings.gallery_pictures_dir or folder_of(settings.index_url)
    originals = Originals(folder, settings.max_image_bytes)
    thumbnails = Thumbnails(settings, originals, fetcher, decoders, services.image_bytes)
    return Pages(settings, Here(services), thumbnails, originals, services.image_bytes).routes()


@asynccontextmanager
async def _looked_after(index: Searcher | None, embedder: Embedder) -> AsyncIterator[None]:
    """Once the model is loaded, see whether the index can be searched with it; at the end, let go of the index."""
    if index is None:
        yield
        return

    async def look() -> None:
        await embedder.settled()
        if embedder.loaded:
            await index.look(embedder.loaded.space, embedder.loaded.dimensions)

    looking = asyncio.create_task(look())
    yield
    looking.cancel()
    await index.close()


def _traces() -> "Traces | None":
    """What traces requests, if OpenTelemetry's variables ask for it; else nothing of that is imported."""
    if not traces_are_asked_for():
        return None
    try:
        from app.telemetry.tracing import Traces
    except ImportError as error:
        raise StartError(
            f"OpenTelemetry's variables ask for traces, but {error.name} isn't installed; "
            "install opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http, or set OTEL_SDK_DISABLED=true"
        ) from error
    return Traces()


def __getattr__(name: str) -> FastAPI:
    """`app`, made when a server asks for it: importing this module reads no settings and loads nothing."""
    if name != "app":
        raise AttributeError(name)
    try:
        settings = Settings.load()
        logs.configure(settings.log_level, settings.log_format)
        application = create_app(settings)
        choose(settings)
        prepare(settings, thoroughly=False)
    except StartError as error:
        sys.exit(f"tate-embeddings: {error}")
    globals()["app"] = application
    return application
