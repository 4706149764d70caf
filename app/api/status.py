"""`/`, `/health` and `/live`: open to all."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from app import __version__
from app.api.openapi import operation_id
from app.api.pages import DOCS, GALLERY
from app.api.schemas import Alive, Banner, Health
from app.api.services import FromApp
from app.config import Settings
from app.serving import State

router = APIRouter(tags=["status"], generate_unique_id_function=operation_id)


@router.get("/", response_model=Banner, responses={503: {"model": Banner, "description": "Not ready."}})
async def banner(request: Request, services: FromApp) -> Response:
    """Who answers here. A browser is sent on to the page where people search or, without one, to the documentation."""
    settings, embedder = services.settings, services.embedder
    docs = DOCS if settings.docs_enabled else None
    page = GALLERY if services.index and settings.has_gallery else docs
    if page and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(request.scope.get("root_path", "").rstrip("/") + page, 307)
    model = embedder.loaded
    return JSONResponse(
        {
            "service": "tate-embeddings",
            "version": __version__,
            "status": embedder.state,
            "model": settings.model_name,
            "pretrained": settings.pretrained,
            "dimensions": model.dimensions if model else None,
            "device": model.engine.device if model else None,
            "docs": docs,
        }
        | _demonstration(settings),
        _status(embedder.state),
    )


@router.get("/health", response_model=Health, responses={503: {"model": Health, "description": "Not ready."}})
async def health(services: FromApp) -> JSONResponse:
    """Readiness: 200 once a self-test has passed and while inference works."""
    embedder = services.embedder
    embedder.look_again()
    model = embedder.loaded
    return JSONResponse(
        {
            "status": embedder.state,
            "model_loaded": model is not None,
            "text_model_loaded": model is not None,
            "image_model_loaded": model is not None,
            "device": model.engine.device if model else None,
            "engine": model.engine.name if model else None,
            "precision": model.engine.precision if model else None,
            "space": model.space if model else None,
        }
        | _demonstration(services.settings),
        _status(embedder.state),
    )


@router.get("/live", response_model=Alive)
async def live() -> Alive:
    """Liveness: 200 while the event loop turns."""
    return Alive(status="alive")


def _demonstration(settings: Settings) -> dict[str, bool]:
    return {"demonstration": True} if settings.demonstration else {}


def _status(state: State) -> int:
    return 200 if state is State.HEALTHY else 503
