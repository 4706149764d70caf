"""The pictures of items, as the page shows them and as they are."""

from urllib.parse import urlencode

from anyio.to_thread import run_sync
from fastapi import Request
from starlette.responses import Response

from app.errors import ImageNotFound, ItemNotFound
from app.gallery.collection import Collection
from app.gallery.originals import Originals
from app.gallery.rendering import FOR_A_MINUTE, FOR_GOOD, file
from app.gallery.routing import id_in
from app.gallery.shown import Shown, shown
from app.gallery.thumbnails import SizeName, Thumbnails, digest
from app.images.kinds import MEDIA_TYPES, suffix
from app.images.thumbnail import Format


class Pictures:
    """Shows them.

    Args:
        collection: whose items they are of.
        thumbnails: makes them small.
        originals: where they may lie as they are.
        hotlink: whether browsers get them from where they are.
        is_public: whether anybody may see them, and so whatever stands between us and a browser may keep them.
    """

    def __init__(
        self, collection: Collection, thumbnails: Thumbnails, originals: Originals, *, hotlink: bool, is_public: bool
    ) -> None:
        self._collection = collection
        self._thumbnails = thumbnails
        self._originals = originals
        self._hotlink = hotlink
        self._kept_by = "public" if is_public else "private"

    def address_of(self, root: str, item: Shown, size: SizeName) -> str | None:
        """Where the browser gets an item's picture."""
        if item.picture is None:
            return None
        if self._hotlink and item.picture.url:
            return item.picture.url
        return f"{root}/thumbnail?{urlencode({'id': item.id, 'size': size, 'v': item.picture.version})}"

    def original_of(self, root: str, item: Shown) -> str | None:
        """Where the picture came from, or else itself as it lies here."""
        if item.page or item.picture is None:
            return item.page
        return f"{root}/original?{urlencode({'id': item.id})}" if self._originals.has(item.picture) else None

    async def thumbnail(self, request: Request) -> Response:
        """A small picture, for good if the address names its version, as pages do."""
        size: SizeName = "large" if request.query_params.get("size") == "large" else "small"
        kind: Format = "WEBP" if "image/webp" in request.headers.get("accept", "") else "JPEG"
        picture = shown(await self._collection.item(id_in(request))).picture
        if picture is None:
            raise ItemNotFound("There is no picture of this item.")
        etag = f'"{digest(picture, size, kind)}"'
        lasting = FOR_GOOD if request.query_params.get("v") == picture.version else FOR_A_MINUTE
        headers = {"ETag": etag, "Vary": "Accept", "Cache-Control": f"{self._kept_by}, {lasting}"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return file(await self._thumbnails.get(picture, size, kind), f"image/{kind.lower()}", headers)

    async def original(self, request: Request) -> Response:
        """A picture as it lies here."""
        picture = shown(await self._collection.item(id_in(request))).picture
        data = await run_sync(self._originals.read, picture) if picture else None
        media_type = MEDIA_TYPES.get(suffix(data)) if data else None
        if data is None or media_type is None:
            raise ImageNotFound("The original isn't here.")
        return file(data, media_type, {"Cache-Control": f"{self._kept_by}, {FOR_A_MINUTE}"})
