"""Templates to answers, with the headers that keep a page to itself."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from app.config import Settings

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
