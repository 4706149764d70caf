"""The routes of the page: links and forms come in, whole pages go out. Without JavaScript nothing is missing."""

import logging
from dataclasses import replace
from time import monotonic
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from app.api.bodies import bounded, content_type, metered
from app.api.hangups import while_connected
from app.api.inline_images import not_empty
from app.api.multipart import read_file_and_texts
from app.config import Settings
from app.errors import (
    Internal,
    NotFound,
    ServiceError,
    SpaceMismatch,
    UndecodableBody,
    UnsupportedMediaType,
)
from app.gallery.access import Access
from app.gallery.asking import LAST_OFFSET, PAGE, Asked, as_picture, vector_in
from app.gallery.collection import About, Collection, Found, Wish
from app.gallery.entrance import Entrance
from app.gallery.facets import facets, where
from app.gallery.originals import Originals
from app.gallery.pictures import Pictures
from app.gallery.problems import problem
from app.gallery.rendering import Rendering, static
from app.gallery.routing import Endpoint, PageRoute, check_id, id_in, root_of
from app.gallery.shown import shown, small
from app.gallery.thumbnails import SIDES, Thumbnails
from app.images.budget import ByteBudget
from app.telemetry import tracebacks

logger = logging.getLogger(__name__)

# So many neighbours stand below a picture, and so many pictures on the first screen.
NEIGHBOURS, WALL = 24, 48
# Beyond so many results more are shown when somebody asks for them: else nobody gets to the end of the page.
BY_THEMSELVES = 5 * PAGE
KNOWN_FOR_S = 2.0


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
        self._image_bytes = image_bytes
        self._access = Access(settings)
        self._pictures = Pictures(
            collection,
            thumbnails,
            originals,
            hotlink=settings.gallery_hotlink,
            is_public=self._access.is_public,
        )
        self._rendering = Rendering(
            settings,
            is_public=self._access.is_public,
            max_image_bytes=settings.max_image_bytes,
            examples=settings.gallery_examples,
            sides=SIDES,
            fitted=small,
            picture_of=self._pictures.address_of,
            original_of=self._pictures.original_of,
        )
        self._entrance = Entrance(self._access, self._rendering)
        self._known_about: tuple[float, About | None] = (0.0, None)

    def routes(self) -> list[BaseRoute]:
        """The routes, which are found where they say, and nowhere in the API's description."""
        pages: list[tuple[str, Endpoint, str]] = [
            ("", self._search, "GET"),
            ("/picture", self._by_picture, "POST"),
            ("/item", self._item, "GET"),
            ("/thumbnail", self._pictures.thumbnail, "GET"),
            ("/original", self._pictures.original, "GET"),
            ("/leave", self._entrance.leave, "POST"),
            ("/{rest:path}", self._nothing, "GET"),
        ]
        return [
            PageRoute("/static/{name}", self._guarded(static, is_open=True), "GET"),
            PageRoute("/enter", self._guarded(self._entrance.enter, is_open=True), "GET", "POST"),
            *(PageRoute(path, self._guarded(page), method) for path, page, method in pages),
        ]

    def _guarded(self, page: Endpoint, *, is_open: bool = False) -> Endpoint:
        """A page for those who may see it; what fails is a page too."""

        async def answer(request: Request) -> Response:
            try:
                if not is_open and not self._access.admits(request):
                    return self._entrance.in_place_of(request)
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
            check_id(asked.like)
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
            return RedirectResponse(root_of(request), 303)
        address = replace(Asked.of(texts.items()), picture=as_picture(vector, about.space)).address()
        return RedirectResponse(f"{root_of(request)}?{address}", 303)

    async def _item(self, request: Request) -> Response:
        item = await self._collection.item(id_in(request))
        about = await self._about()
        found = await while_connected(request, self._collection.search([Wish(item=item.id)], {}, NEIGHBOURS))
        neighbours = [shown(each) for each in found.items]
        return self._page(request, "item.html", about, Asked(), item=shown(item), items=neighbours)

    async def _nothing(self, request: Request) -> Response:
        if not request.path_params["rest"]:  # a slash too much
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(root_of(request) + query, 307)
        raise NotFound("There is no such page.")

    def _page(self, request: Request, template: str, about: About, asked: Asked, **context: Any) -> Response:
        shared = {
            "root": root_of(request),
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
        context = {"root": root_of(request), "asked": Asked.of(request.query_params.multi_items()), "problem": told}
        response = self._rendering.page("problem.html", context, error.status)
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response


def _check_picture(asked: Asked, about: About) -> None:
    """See whether a visitor's picture, whose vector is in the address, can be compared with the collection's.

    Raises:
        SpaceMismatch: another model has looked at it.
    """
    if asked.picture:
        space, vector = vector_in(asked.picture)
        if (space, len(vector)) != (about.space, about.dimensions):
            raise SpaceMismatch("The picture was looked at by another model.")
