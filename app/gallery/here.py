"""The collection of this process: its index, its model."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.api.priority import PICTURE, TEXT
from app.api.search import searched
from app.api.search_forms import Search, Sought
from app.api.services import Services
from app.embeddings.engines import Vectors
from app.gallery.collection import About, Found, Item, Wish
from app.search.filters import parsed


class Here:
    """A collection that is searched beside the API, as the API does it."""

    def __init__(self, services: Services) -> None:
        assert services.index is not None  # or there is no page
        self._services = services
        self._index = services.index

    async def about(self) -> About:
        model, settings = self._services.embedder.model, self._services.settings
        index = await self._index.about()
        return About(
            index.count,
            settings.model_name,
            settings.pretrained,
            model.space,
            model.dimensions,
            await self._index.fields(),
        )

    async def search(self, wishes: Sequence[Wish], where: Mapping[str, Any], k: int, offset: int = 0) -> Found:
        sought = [Sought(text=wish.text, item=wish.item, vector=wish.vector, weight=wish.weight) for wish in wishes]
        search = Search(sought, parsed(where), k, offset, min_score=None)
        self._services.embedder.check_open()
        with self._services.image_bytes.share() as take:
            outcome = await searched(search, self._services, self._index, take, TEXT)
        return Found([Item(each.id, each.metadata, each.score) for each in outcome.found], outcome.took_ms)

    async def item(self, item: str) -> Item:
        return Item(item, await self._index.item(item))

    async def some(self, limit: int) -> Sequence[Item]:
        return [Item(each.id, each.metadata) for each in await self._index.some(limit)]

    async def vector_of(self, picture: bytes) -> Vectors:
        self._services.embedder.check_open()
        with self._services.image_bytes.share() as take:
            return (await self._services.pictures.embed(picture, take, PICTURE)).vector

    async def close(self) -> None:
        """Nothing is its own."""
