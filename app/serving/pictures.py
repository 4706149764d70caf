"""Images on their way to vectors: fetched if they are behind a URL, decoded, embedded. One, or a list side by side."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from app.embeddings.engines import Vectors
from app.errors import DeadlineExceeded, Internal, Overloaded, ServiceError
from app.images.budget import ByteBudget, Take
from app.images.decoders import Decoders
from app.images.fetch import Fetcher
from app.serving.embedder import Embedder, gathered
from app.telemetry.timings import measured

logger = logging.getLogger(__name__)

# Images of one list that are fetched, decoded or embedded at once: enough for hosts to be slow, few enough that
# others' images get their turn.
WINDOW = 16

# An image's bytes, or the URL where they are.
Source = bytes | str


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture's unit vector; `sha256` is of the image's bytes, width and height are as displayed."""

    vector: Vectors
    sha256: str
    width: int
    height: int


Outcome = EmbeddedPicture | ServiceError


class Pictures:
    """Embeds images from wherever they come."""

    def __init__(
        self, embedder: Embedder, fetcher: Fetcher, decoders: Decoders, budget: ByteBudget, timeout_s: float
    ) -> None:
        self._embedder = embedder
        self._fetcher = fetcher
        self._decoders = decoders
        self._budget = budget
        self._timeout_s = timeout_s

    async def embed(self, source: Source, take: Take, *, of_list: bool = False) -> EmbeddedPicture:
        """Embed one image; the bytes that are fetched are taken from a budget.

        Raises:
            ServiceError: it can't be had or used, or the model isn't ready.
        """
        preprocessing = self._embedder.model.preprocessing  # before the fetch: without a model there is no use in it
        data = source if isinstance(source, bytes) else await self._fetcher.fetch(source, take)
        with measured("decode"):
            seen = await self._decoders.look(data, preprocessing)
        vector = await self._embedder.embed_picture(seen.pixels, of_list=of_list)
        return EmbeddedPicture(vector, seen.sha256, seen.width, seen.height)

    async def embed_list(self, sources: Sequence[Source | ServiceError]) -> list[Outcome]:
        """Embed a list side by side; for each, in order, the picture, or why there is none.

        What failed already keeps its reason. Equal sources are embedded once. At the deadline, what is done is given.

        Raises:
            NotReady: there is no model to do it.
        """
        assert self._embedder.model
        window = asyncio.Semaphore(WINDOW)
        outcomes: dict[Source, Outcome] = {}

        async def embed(source: Source) -> None:
            async with window:
                outcomes[source] = await self._outcome(source)

        distinct = dict.fromkeys(source for source in sources if not isinstance(source, ServiceError))
        with anyio.move_on_after(self._timeout_s):
            await gathered(embed(source) for source in distinct)
            for source in [source for source, outcome in outcomes.items() if isinstance(outcome, Overloaded)]:
                # Too many bytes were in flight, perhaps this list's own: for one at a time there is room.
                outcomes[source] = await self._outcome(source)
        late = DeadlineExceeded(f"No vector within {self._timeout_s:g} seconds.")
        return [source if isinstance(source, ServiceError) else outcomes.get(source, late) for source in sources]

    async def _outcome(self, source: Source) -> Outcome:
        try:
            with self._budget.share() as take:
                return await self.embed(source, take, of_list=True)
        except ServiceError as error:
            logger.info("one of a list failed: %s: %r", error.code, error.__cause__)
            return error
        except Exception:
            logger.exception("a defect")
            return Internal()
