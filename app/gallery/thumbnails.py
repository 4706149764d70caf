"""Pictures made small: by a decoder's process, once, and then kept on disk."""

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from time import monotonic
from typing import Literal

from anyio.to_thread import run_sync

from app.config import Settings
from app.errors import (
    DecodeTimeout,
    ImageError,
    ImageHostFailed,
    ImageHostTimeout,
    ImageNotFound,
    ServiceError,
    TooLarge,
)
from app.gallery.kept import Kept
from app.gallery.originals import Originals
from app.gallery.shown import Picture
from app.images.budget import ByteBudget, Take
from app.images.decoders import Decoders
from app.images.fetch import Fetcher
from app.images.thumbnail import Format, Thumbnail

SizeName = Literal["small", "large"]
# The longer side, in pixels: of a picture in a row, on a screen of two pixels to each, and of one by itself.
SIDES: Mapping[SizeName, int] = {"small": 480, "large": 1280}
# A page asks for dozens. Hosts are slow, and one that is dead shall not hold up the others; but the decoders have
# searches by picture to do meanwhile.
FETCHED_AT_ONCE = 16
DECODED_AT_ONCE = 2
# Failures that another try now wouldn't change. For so long none is made, of so many pictures.
LASTING = (ImageError, ImageHostFailed, ImageHostTimeout, DecodeTimeout, TooLarge)
REMEMBERED_S = 300.0
MOST_REMEMBERED = 10_000


class Thumbnails:
    """Makes thumbnails of pictures that lie in a folder, or else behind their URLs."""

    def __init__(
        self, settings: Settings, originals: Originals, fetcher: Fetcher, decoders: Decoders, budget: ByteBudget
    ) -> None:
        self._kept = Kept(settings.gallery_cache_dir, settings.gallery_cache_bytes)
        self._originals = originals
        self._fetcher = fetcher
        self._decoders = decoders
        self._budget = budget
        self._fetching = asyncio.Semaphore(FETCHED_AT_ONCE)
        self._decoding = asyncio.Semaphore(DECODED_AT_ONCE)
        self._being_made: dict[str, asyncio.Task[bytes]] = {}
        self._failures: dict[str, tuple[float, ServiceError]] = {}

    async def get(self, picture: Picture, size: SizeName, kind: Format) -> bytes:
        """A picture made small, as the bytes of a file.

        Raises:
            ServiceError: the picture can't be had or used.
        """
        key = digest(picture, size, kind)
        kept = await run_sync(self._kept.get, key)
        return await self._made_once(key, picture, Thumbnail(SIDES[size], kind)) if kept is None else kept

    async def _made_once(self, key: str, picture: Picture, thumbnail: Thumbnail) -> bytes:
        """Make it for all who ask meanwhile: if one of them goes, the others still get it."""
        self._raise_remembered(picture)
        making = self._being_made.get(key)
        if making is None:
            making = self._being_made[key] = asyncio.create_task(self._make(key, picture, thumbnail))
            making.add_done_callback(lambda _: self._being_made.pop(key))
        return await asyncio.shield(making)

    async def _make(self, key: str, picture: Picture, thumbnail: Thumbnail) -> bytes:
        try:
            with self._budget.share() as take:
                here = await run_sync(self._originals.has, picture)
                data = None if here else await self._fetched(picture, take)
                async with self._decoding:
                    data = await run_sync(self._originals.read, picture) if data is None else data
                    if data is None:
                        raise ImageNotFound("The picture of this item is gone.")
                    made = (await self._decoders.look(data, thumbnail)).pixels.tobytes()
        except LASTING as error:
            if len(self._failures) >= MOST_REMEMBERED:
                self._failures.clear()
            self._failures[picture.version] = monotonic(), error
            raise
        await run_sync(self._kept.keep, key, made)
        return made

    async def _fetched(self, picture: Picture, take: Take) -> bytes:
        if picture.url is None:
            raise ImageNotFound("There is no picture of this item.")
        async with self._fetching:
            return await self._fetcher.fetch(picture.url, take)

    def _raise_remembered(self, picture: Picture) -> None:
        since, failure = self._failures.get(picture.version, (0.0, None))
        if failure is not None and monotonic() - since < REMEMBERED_S:
            raise failure


def digest(picture: Picture, size: SizeName, kind: Format) -> str:
    """What stands for a thumbnail."""
    return sha256(f"{picture.version} {SIDES[size]} {kind}".encode()).hexdigest()
