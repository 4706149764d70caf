"""The routes of the page: links and forms come in, whole pages go out. Without JavaScript nothing is missing."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from mimetypes import guess_type
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl, urlencode

from anyio.to_thread import run_sync
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from app.api.bodies import bounded, content_type, metered
from app.api.hangups import while_connected
from app.api.inline_images import not_empty
from app.api.multipart import read_file_and_texts
from app.api.pages import GALLERY
from app.config import Settings
from app.errors import (
    ImageNotFound,
    Internal,
    ItemNotFound,
    NotFound,
    RateLimited,
    ServiceError,
    SpaceMismatch,
    Unauthorized,
    UndecodableBody,
    UnsupportedMediaType,
)
from app.gallery.access import Access
from app.gallery.asking import LAST_OFFSET, PAGE, Asked, as_picture, vector_in
from app.gallery.collection import About, Collection, Found, Wish
from app.gallery.facets import facets, where
from app.gallery.originals import Originals
from app.gallery.problems import problem
from app.gallery.rendering import STATIC, STATIC_FILES, Rendering, file, version
from app.gallery.shown import Shown, shown, small
from app.gallery.thumbnails import SIDES, SizeName, Thumbnails, digest
from app.images.budget import ByteBudget
from app.images.kinds import MEDIA_TYPES, suffix
from app.images.thumbnail import Format
from app.search.store import is_id
from app.telemetry import tracebacks

logger = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]

# So many neighbours stand below a picture, and so many pictures on the first screen.
NEIGHBOURS, WALL = 24, 48
# Beyond so many results more are shown when somebody asks for them: else nobody gets to the end of the page.
BY_THEMSELVES = 5 * PAGE
KNOWN_FOR_S = 2.0
FORM_BYTES = 64 * 1024
# To where visitors may be led once they are in: a search, an item.
WAYS_BACK = ("?", "/item?")
HTMX = "hx-request"
FOR_GOOD = "max-age=31536000, immutable"
FOR_A_MINUTE = "max-age=60"


class Pages:
    """What visitors see of a collection."""

    def __init__(
        self,
        settings: Settings,
        collection: Collection,
        thumbnails: Thumbnails,
        originals: Originals,
        image_bytes: ByteBudget,
    ) -> None:
        self._settings = settings
        self._collection = collection
        self._thumbnails = thumbnails
        self._originals = originals
        self._image_bytes = image_bytes
        self._access = Access(settings)
        self._rendering = Rendering(
            settings,
            is_public=self._access.is_public,
            max_image_bytes=settings.max_image_bytes,
            examples=settings.gallery_examples,
            sides=SIDES,
            fitted=small,
            picture_of=self._picture_of,
            original_of=self._original_of,
        )
        self._known_about: tuple[float, About | None] = (0.0, None)
        self._cached = "public" if self._access.is_public else "private"

    def routes(self) -> list[BaseRoute]:
        """The routes, which are found where they say, and nowhere in the API's description."""
        pages: list[tuple[str, Endpoint, str]] = [
            ("", self._search, "GET"),
            ("/picture", self._by_picture, "POST"),
            ("/item", self._item, "GET"),
            ("/thumbnail", self._thumbnail, "GET"),
            ("/original", self._original, "GET"),
            ("/leave", self._leave, "POST"),
            ("/{rest:path}", self._nothing, "GET"),
        ]
        return [
            PageRoute(GALLERY + "/static/{name}", self._guarded(_static, is_open=True), methods=["GET"]),
            PageRoute(GALLERY + "/enter", self._guarded(self._enter, is_open=True), methods=["GET", "POST"]),
            *(PageRoute(GALLERY + path, self._guarded(page), methods=[method]) for path, page, method in pages),
        ]

    def _guarded(self, page: Endpoint, *, is_open: bool = False) -> Endpoint:
        """A page for those who may see it; what fails is a page too."""

        async def answer(request: Request) -> Response:
            try:
                if not is_open and not self._access.admits(request):
                    return self._entrance(request, _way_back(request))
                return await page(request)
            except ServiceError as error:
                if error.__cause__ is not None:
                    logger.info("%s: %s", error.code, tracebacks.named(error.__cause__))
                return self._failed(request, error)
            except ClientDisconnect:
                return self._failed(request, UndecodableBody("The body broke off."))
            except Exception:
                logger.exception("a defect")
                return self._failed(request, Internal())

        return answer

    async def _about(self) -> About:
        """What the collection is, or was a moment ago: visitors who type ask often, and a database counts for long."""
        since, about = self._known_about
        if about is None or not about.count or monotonic() - since > KNOWN_FOR_S:
            about = await self._collection.about()
            self._known_about = monotonic(), about
        return about

    async def _search(self, request: Request) -> Response:
        asked = Asked.of(request.query_params.multi_items())
        about = await self._about()
        if not asked.is_search:
            items = (await self._collection.some(WALL)) if about.count else []
            return self._page(request, "first.html", about, asked, items=[shown(item) for item in items])
        _check_picture(asked, about)
        if asked.like:
            _check_id(asked.like)
        filter_ = where(about.fields, asked)
        work = self._collection.search(asked.wishes(), filter_, PAGE + 1, asked.offset)
        found: Found = await while_connected(request, work)
        like = shown(await self._collection.item(asked.like)) if asked.like else None
        following = asked.offset + PAGE
        has_more = len(found.items) > PAGE and following <= LAST_OFFSET
        return self._page(
            request,
            "results.html",
            about,
            asked,
            items=[shown(item) for item in found.items[:PAGE]],
            took_ms=found.took_ms,
            like=like,
            more=asked.address(offset=following) if has_more else None,
            by_itself=following < BY_THEMSELVES,
        )

    async def _by_picture(self, request: Request) -> Response:
        """Lead to what is near to a visitor's picture, which isn't kept: the address has its vector."""
        if content_type(request) != "multipart/form-data":
            raise UnsupportedMediaType("A picture comes as the file of a form.")
        with self._image_bytes.share() as take:
            body = metered(bounded(request, self._settings.max_body_bytes, "body"), take)
            file, texts = await read_file_and_texts(body, "file", self._settings.max_image_bytes, ("q", "not"))
            work = self._collection.vector_of(not_empty(file))
            vector = await while_connected(body, work)
        about = await self._about()
        if about.space is None:  # there is nothing to compare it with, as the first page says
            return RedirectResponse(_root(request), 303)
        address = replace(Asked.of(texts.items()), picture=as_picture(vector, about.space)).address()
        return RedirectResponse(f"{_root(request)}?{address}", 303)

    async def _item(self, request: Request) -> Response:
        item = await self._collection.item(_id(request))
        about = await self._about()
        found = await while_connected(request, self._collection.search([Wish(item=item.id)], {}, NEIGHBOURS))
        neighbours = [shown(each) for each in found.items]
        return self._page(request, "item.html", about, Asked(), item=shown(item), items=neighbours)

    async def _thumbnail(self, request: Request) -> Response:
        """A small picture, for good if the address names its version, as pages do."""
        size: SizeName = "large" if request.query_params.get("size") == "large" else "small"
        kind: Format = "WEBP" if "image/webp" in request.headers.get("accept", "") else "JPEG"
        picture = shown(await self._collection.item(_id(request))).picture
        if picture is None:
            raise ItemNotFound("There is no picture of this item.")
        etag = f'"{digest(picture, size, kind)}"'
        lasting = FOR_GOOD if request.query_params.get("v") == picture.version else FOR_A_MINUTE
        headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": f"{self._cached}, {lasting}"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return file(await self._thumbnails.get(picture, size, kind), f"image/{kind.lower()}", headers)

    async def _original(self, request: Request) -> Response:
        picture = shown(await self._collection.item(_id(request))).picture
        data = await run_sync(self._originals.read, picture) if picture else None
        media_type = MEDIA_TYPES.get(suffix(data)) if data else None
        if data is None or media_type is None:
            raise ImageNotFound("The original isn't here.")
        return file(data, media_type, {"Cache-Control": f"{self._cached}, {FOR_A_MINUTE}"})

    async def _enter(self, request: Request) -> Response:
        form = dict(parse_qsl((await bounded(request, FORM_BYTES, "form").body()).decode(errors="replace")))
        back = form.get("back") or request.query_params.get("back", "")
        response = RedirectResponse(_root(request) + (back if back.startswith(WAYS_BACK) else ""), 303)
        if self._access.admits(request):
            return response
        if request.method != "POST":
            return self._entrance(request, back)
        try:
            await self._access.enter(request, form.get("password", ""), response)
        except (Unauthorized, RateLimited) as error:
            request.scope["error_code"] = error.code
            return self._entrance(request, back, error)
        return response

    def _entrance(self, request: Request, back: str, error: ServiceError | None = None) -> Response:
        """Where the password is asked for, and from where visitors get to where they were led to."""
        context = {"root": _root(request), "back": back, "error": error}
        response = self._rendering.page("enter.html", context, error.status if error else 401)
        if error is not None and error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        if HTMX in request.headers:  # who was in the middle of something
            response.headers["HX-Redirect"] = f"{_root(request)}/enter?{urlencode({'back': back})}"
        return response

    async def _leave(self, request: Request) -> Response:
        response = RedirectResponse(_root(request), 303)
        self._access.leave(request, response)
        return response

    async def _nothing(self, request: Request) -> Response:
        if not request.path_params["rest"]:  # a slash too much
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(_root(request) + query, 307)
        raise NotFound("There is no such page.")

    def _page(self, request: Request, template: str, about: About, asked: Asked, **context: Any) -> Response:
        shared = {
            "root": _root(request),
            "about": about,
            "asked": asked,
            "facets": facets(about.fields, about.count, asked),
            "like": None,
            "took_ms": None,
        }
        return self._rendering.page(template, shared | context)

    def _failed(self, request: Request, error: ServiceError) -> Response:
        request.scope["error_code"] = error.code
        told = problem(error, self._settings.max_image_bytes)
        if request.method == "POST":  # which no browser sends again by itself
            told = replace(told, again_s=None)
        context = {"root": _root(request), "asked": Asked.of(request.query_params.multi_items()), "problem": told}
        response = self._rendering.page("problem.html", context, error.status)
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response

    def _picture_of(self, root: str, item: Shown, size: SizeName) -> str | None:
        """Where the browser gets an item's picture."""
        if item.picture is None:
            return None
        if self._settings.gallery_hotlink and item.picture.url:
            return item.picture.url
        return f"{root}/thumbnail?{urlencode({'id': item.id, 'size': size, 'v': item.picture.version})}"

    def _original_of(self, root: str, item: Shown) -> str | None:
        """Where the picture came from, or else itself as it lies here."""
        if item.page or item.picture is None:
            return item.page
        return f"{root}/original?{urlencode({'id': item.id})}" if self._originals.has(item.picture) else None


class PageRoute(Route):
    """A route that metrics and the log know by its path, as those of the API."""

    def __init__(self, path: str, endpoint: Endpoint, *, methods: Sequence[str]) -> None:
        super().__init__(path, endpoint, methods=methods, include_in_schema=False)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope


async def _static(request: Request) -> Response:
    """A file of the page itself."""
    path = STATIC / request.path_params["name"]
    if path.name not in STATIC_FILES:
        raise NotFound("There is no such file.")
    media_type, _ = guess_type(path.name)
    # While one release takes another's place, a page of the one may ask the other.
    lasting = FOR_GOOD if request.query_params.get("v") == version(path.name) else FOR_A_MINUTE
    return file(await run_sync(path.read_bytes), media_type or "text/plain", {"Cache-Control": f"public, {lasting}"})


def _root(request: Request) -> str:
    """Where the page is for who asks, perhaps through a proxy that puts us below a path of its own."""
    return str(request.scope.get("root_path", "")).rstrip("/") + GALLERY


def _way_back(request: Request) -> str:
    path = request.scope["path"].removeprefix(request.scope.get("root_path", "")).removeprefix(GALLERY)
    return f"{path}?{request.url.query}" if request.method == "GET" else ""


def _id(request: Request) -> str:
    """The id of the item that an address names."""
    item = request.query_params.get("id", "")
    _check_id(item)
    return item


def _check_id(item: str) -> None:
    if not is_id(item):
        raise ItemNotFound("There is no such item.")


def _check_picture(asked: Asked, about: About) -> None:
    """See whether a visitor's picture, whose vector is in the address, can be compared with the collection's.

    Raises:
        SpaceMismatch: another model has looked at it.
    """
    if asked.picture:
        space, vector = vector_in(asked.picture)
        if (space, len(vector)) != (about.space, about.dimensions):
            raise SpaceMismatch("The picture was looked at by another model.")
