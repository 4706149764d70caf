"""Templates to answers, with the headers that keep a page to itself."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from app.config import Settings
from app.errors import NotFound

TEMPLATES, STATIC = Path(__file__).parent / "templates", Path(__file__).parent / "static"
STATIC_FILES = {path.name for path in STATIC.iterdir()}

# Nothing is loaded from elsewhere, nothing runs or styles that isn't a file of ours. `data:` is a preview of what a
# visitor has chosen, which the browser makes itself.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; img-src 'self' data:"
)
FROM_ANYWHERE = " https: http:"
# A file by itself, opened in a tab.
ALONE = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
FOR_GOOD = "max-age=31536000, immutable"
FOR_A_MINUTE = "max-age=60"
GUARDED = {
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Rendering:
    """Writes pages."""

    def __init__(self, settings: Settings, **shared: Any) -> None:
        """Give every template `shared`."""
        self._policy = POLICY + (FROM_ANYWHERE if settings.gallery_hotlink else "")
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(shared, version=version, title=settings.gallery_title)

    def page(self, template: str, context: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """A page. It may be kept, but not shown again without asking whether it is still so."""
        content = self._environment.get_template(template).render(context)
        headers = {"Content-Security-Policy": self._policy, "Cache-Control": "private, no-cache", **GUARDED}
        return HTMLResponse(content, status, headers)


def file(data: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """A file that pages are made of, or lead to."""
    return Response(data, media_type=media_type, headers={"Content-Security-Policy": ALONE, **GUARDED, **headers})


@cache
def version(name: str) -> str:
    """What stands for a static file as it is now, so that browsers can keep it for good."""
    return sha256((STATIC / name).read_bytes()).hexdigest()[:12]


async def static(request: Request) -> Response:
    """A file of the page itself."""
    path = STATIC / request.path_params["name"]
    if path.name not in STATIC_FILES:
        raise NotFound("There is no such file.")
    media_type, _ = guess_type(path.name)
    # While one release takes another's place, a page of the one may ask the other.
    lasting = FOR_GOOD if request.query_params.get("v") == version(path.name) else FOR_A_MINUTE
    return file(await run_sync(path.read_bytes), media_type or "text/plain", {"Cache-Control": f"public, {lasting}"})
