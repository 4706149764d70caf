"""Images on their way to vectors: fetched if they are behind a URL, decoded, embedded. One, or a list side by side."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import anyio
from anyio.to_thread import run_sync
from PIL import Image

from app.embeddings.engines import Pixels, Vectors
from app.errors import DeadlineExceeded, Internal, Overloaded, ServiceError
from app.images.budget import ByteBudget, Take
from app.images.decoders import Decoders, Seen
from app.images.fetch import Fetcher
from app.serving.cache import Cache
from app.serving.embedder import Embedder, gathered
from app.serving.scheduler import Batching, Scheduler
from app.telemetry import tracebacks

logger = logging.getLogger(__name__)

# Images of one list that are fetched, decoded or embedded at once: enough for hosts to be slow, few enough that
# others' images get their turn.
WINDOW = 16
# Up to so many bytes are hashed where they are: going to a thread and back takes longer.
SHORT_IMAGE = 256 * 1024

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

# An image's bytes, and what is to be made of them.
_ToDecode = tuple[bytes, Callable[[Image.Image], Pixels]]


class Pictures:
    """Embeds images from wherever they come."""

    def __init__(
        self,
        embedder: Embedder,
        fetcher: Fetcher,
        decoders: Decoders,
        budget: ByteBudget,
        *,
        max_queue: int,
        timeout_s: float,
        cache_items: int,
    ) -> None:
        self._embedder = embedder
        self._fetcher = fetcher
        self._decoders = decoders
        self._budget = budget
        self._timeout_s = timeout_s
        side_by_side = Batching[_ToDecode](decoders.count)
        self._decoding = Scheduler(self._decode, side_by_side, queue="decoding", most_waiting=max_queue, stage="decode")
        self._seen: Cache[EmbeddedPicture] = Cache(cache_items, kind="picture")

    async def embed(self, source: Source, take: Take, urgency: int) -> EmbeddedPicture:
        """Embed one image; the bytes that are fetched are taken from a budget.

        Raises:
            ServiceError: it can't be had or used, or the model isn't ready.
        """
        async with self._embedder.deadline():
            return await self._embed(source, take, urgency, of_list=False)

    async def _embed(self, source: Source, take: Take, urgency: int, *, of_list: bool) -> EmbeddedPicture:
        model = self._embedder.model  # before the fetch: without a model there is no use in it
        data = source if isinstance(source, bytes) else await self._fetcher.fetch(source, take)
        digest = _digest(data) if len(data) <= SHORT_IMAGE else await run_sync(_digest, data)
        # The space stands for the weights and the preprocessing: what else a picture's vector depends on.
        key = sha256(f"picture {model.space} {digest}".encode()).digest()
        return await self._seen.get(key, urgency, partial(self._look, data, digest, urgency, of_list=of_list))

    async def _look(self, data: bytes, digest: str, urgency: int, *, of_list: bool) -> EmbeddedPicture:
        submit = self._decoding.submit_of_list if of_list else self._decoding.submit
        seen = await submit((data, self._embedder.model.preprocessing), urgency)
        vector = await self._embedder.embed_picture(seen.pixels, urgency, of_list=of_list)
        return EmbeddedPicture(vector, digest, seen.width, seen.height)

    async def _decode(self, images: list["_ToDecode"]) -> list[Seen]:
        return [await self._decoders.look(*image) for image in images]

    async def embed_list(self, sources: Sequence[Source | ServiceError], urgency: int) -> list[Outcome]:
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
                outcomes[source] = await self._outcome(source, urgency)

        distinct = dict.fromkeys(source for source in sources if not isinstance(source, ServiceError))
        with anyio.move_on_after(self._timeout_s):
            await gathered(embed(source) for source in distinct)
            for source in [source for source, outcome in outcomes.items() if isinstance(outcome, Overloaded)]:
                # Too many bytes were in flight, perhaps this list's own: for one at a time there is room.
                outcomes[source] = await self._outcome(source, urgency)
        late = DeadlineExceeded(f"No vector within {self._timeout_s:g} seconds.")
        return [source if isinstance(source, ServiceError) else outcomes.get(source, late) for source in sources]

    async def _outcome(self, source: Source, urgency: int) -> Outcome:
        try:
            with self._budget.share() as take:
                return await self._embed(source, take, urgency, of_list=True)
        except ServiceError as error:
            cause = f": {tracebacks.named(error.__cause__)}" if error.__cause__ else ""
            logger.info("one of a list failed: %s%s", error.code, cause)
            return error
        except Exception:
            logger.exception("a defect")
            return Internal()


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()
