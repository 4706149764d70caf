"""The documentation for people: Swagger UI and ReDoc, which may load what they need and nothing else."""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse

DOCS, REDOC = "/docs", "/redoc"
# The page where people search, which isn't part of the API.
GALLERY = "/gallery"

SWAGGER_UI = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/swagger-ui"
REDOC_SCRIPT = "https://cdn.jsdelivr.net/npm/redoc@2/bundles/redoc.standalone.js"
REDOC_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
NO_ICON = "data:,"
# Both put styles into their pages by script; nothing of them is a caller's.
STYLES = "'unsafe-inline'"
EVERYWHERE = "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def add_documentation(app: FastAPI) -> None:
    """Add `/docs` and `/redoc` to an app. FastAPI's own would allow everything."""
    app.add_route(DOCS, _docs, include_in_schema=False)
    app.add_route(REDOC, _redoc, include_in_schema=False)


async def _docs(request: Request) -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url=_description(request),
        title=request.app.title,
        swagger_js_url=f"{SWAGGER_UI}-bundle.js",
        swagger_css_url=f"{SWAGGER_UI}.css",
        swagger_favicon_url=NO_ICON,
    )
    (script,) = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    digest = b64encode(sha256(script).digest()).decode()
    scripts, styles = f"{SWAGGER_UI}-bundle.js 'sha256-{digest}'", f"{SWAGGER_UI}.css {STYLES}"
    return _guarded(page, f"script-src {scripts}; style-src {styles}; img-src data:")


async def _redoc(request: Request) -> HTMLResponse:
    page = get_redoc_html(
        openapi_url=_description(request),
        title=request.app.title,
        redoc_js_url=REDOC_SCRIPT,
        redoc_favicon_url=NO_ICON,
        with_google_fonts=False,
    )
    images = f"data: {REDOC_LOGO}"
    return _guarded(page, f"script-src {REDOC_SCRIPT}; worker-src blob:; style-src {STYLES}; img-src {images}")


def _description(request: Request) -> str:
    """Where `openapi.json` is for who asks, perhaps through a proxy that puts us below a path of its own."""
    return f"{request.scope.get('root_path', '').rstrip('/')}{request.app.openapi_url}"


def _guarded(page: HTMLResponse, policy: str) -> HTMLResponse:
    page.headers["Content-Security-Policy"] = f"{EVERYWHERE}; {policy}"
    page.headers["Referrer-Policy"] = "no-referrer"
    return page
