"""Where visitors enter the password, and leave."""

from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from app.api.bodies import bounded
from app.api.pages import GALLERY
from app.errors import RateLimited, ServiceError, Unauthorized
from app.gallery.access import Access
from app.gallery.rendering import Rendering
from app.gallery.routing import root_of

FORM_BYTES = 64 * 1024
# To where visitors may be led once they are in: a search, an item.
WAYS_BACK = ("?", "/item?")
HTMX = "hx-request"


class Entrance:
    """Asks those for the password who aren't in."""

    def __init__(self, access: Access, rendering: Rendering) -> None:
        self._access = access
        self._rendering = rendering

    def in_place_of(self, request: Request) -> Response:
        """The entrance in the place of what was asked for, to which it leads back."""
        path = request.scope["path"].removeprefix(request.scope.get("root_path", "")).removeprefix(GALLERY)
        return self._page(request, f"{path}?{request.url.query}" if request.method == "GET" else "")

    async def enter(self, request: Request) -> Response:
        """Let a visitor in who has entered the password."""
        form = dict(parse_qsl((await bounded(request, FORM_BYTES, "form").body()).decode(errors="replace")))
        back = form.get("back") or request.query_params.get("back", "")
        response = RedirectResponse(root_of(request) + (back if back.startswith(WAYS_BACK) else ""), 303)
        if self._access.admits(request):
            return response
        if request.method != "POST":
            return self._page(request, back)
        try:
            await self._access.enter(request, form.get("password", ""), response)
        except (Unauthorized, RateLimited) as error:
            request.scope["error_code"] = error.code
            return self._page(request, back, error)
        return response

    def _page(self, request: Request, back: str, error: ServiceError | None = None) -> Response:
        """Where the password is asked for, and from where visitors get to where they were led to."""
        context = {"root": root_of(request), "back": back, "error": error}
        response = self._rendering.page("enter.html", context, error.status if error else 401)
        if error is not None and error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        if HTMX in request.headers:  # who was in the middle of something
            response.headers["HX-Redirect"] = f"{root_of(request)}/enter?{urlencode({'back': back})}"
        return response

    async def leave(self, request: Request) -> Response:
        """Let a visitor in no more."""
        response = RedirectResponse(root_of(request), 303)
        self._access.leave(request, response)
        return response
