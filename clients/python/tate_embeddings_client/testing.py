"""Clients for tests of what calls the service: no network, the same vector for the same content, failures on demand."""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import httpx

from tate_embeddings_client import wire
from tate_embeddings_client.calls import Calls, Flow, listed, sought, worked
from tate_embeddings_client.clients import TIMEOUT_S, AsyncClient, Client
from tate_embeddings_client.clock import Clock
from tate_embeddings_client.errors import AuthenticationError, EmbeddingsError, ServiceError
from tate_embeddings_client.fake_index import Metadata, described, passes
from tate_embeddings_client.results import (
    Failure,
    Health,
    Hit,
    ImageEmbedding,
    IndexInfo,
    IndexItem,
    Mixed,
    SearchResults,
    TextEmbedding,
)
from tate_embeddings_client.wire import Filter, Image, Query

ADDRESS = "http://embeddings.invalid"
# What rounding leaves of queries that cancel each other out.
NOTHING = 1e-6
# The status that a failure of one image or text has where it is sent alone; whatever isn't named is about the image.
STATUSES = {
    "invalid_request": 422,
    "unauthorized": 401,
    "item_not_found": 404,
    "space_mismatch": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "internal": 500,
    "image_host_failed": 502,
    "overloaded": 503,
    "not_ready": 503,
    "index_unavailable": 503,
    "image_host_timeout": 504,
    "deadline_exceeded": 504,
    "decode_timeout": 504,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was made: the method's name and what it was given."""

    method: str
    arguments: tuple[Any, ...] = ()


class _FakeCalls(Calls):
    """What the service would answer, without it."""

    def __init__(
        self,
        dimensions: int,
        space: str,
        failures: Mapping[Image, str | EmbeddingsError],
        items: Mapping[str, Metadata],
    ) -> None:
        super().__init__(TIMEOUT_S, space, Clock())
        self._items = items
        self.made: list[Call] = []
        self._failures = failures
        self._dimensions = dimensions
        self._labels = {"space": space, "model": "fake", "pretrained": "fake", "device": "cpu"}
        self._healthy = Health(
            status="healthy",
            model_loaded=True,
            text_model_loaded=True,
            image_model_loaded=True,
            device="cpu",
            engine="fake",
            precision="float32",
            space=space,
            demonstration=False,
        )

    def embed_text(self, text: str) -> Flow[TextEmbedding]:
        self.made.append(Call("embed_text", (text,)))
        return (yield from worked(lambda: self._text(text)))

    def embed_texts(self, texts: Sequence[str]) -> Flow[list[TextEmbedding]]:
        texts = listed(texts, str)
        self.made.append(Call("embed_texts", (texts,)))
        return (yield from worked(lambda: [self._text(text) for text in texts]))

    def embed_image(self, image: Image) -> Flow[ImageEmbedding]:
        listed([image], Image)
        self.made.append(Call("embed_image", (image,)))
        found = yield from worked(lambda: self._image(0, image))
        if isinstance(found, Failure):
            _fail(found.code)
        return found

    def embed_images(self, images: Sequence[Image]) -> Flow[list[ImageEmbedding | Failure]]:
        images = listed(images, Image)
        self.made.append(Call("embed_images", (images,)))
        return (yield from worked(lambda: [self._image(index, image) for index, image in enumerate(images)]))

    def embed_mixed(self, texts: Sequence[str], urls: Sequence[str]) -> Flow[Mixed]:
        texts, urls = listed(texts, str), listed(urls, str)
        self.made.append(Call("embed_mixed", (texts, urls)))
        found = yield from worked(lambda: [self._text(text) for text in texts])
        seen = yield from worked(lambda: [self._image(index, url) for index, url in enumerate(urls)])
        return Mixed(texts=found, images=seen)

    def search(
        self,
        query: str | Query | Sequence[Query],
        *,
        k: int,
        offset: int,
        min_score: float | None,
        where: Filter | None,
    ) -> Flow[SearchResults]:
        queries = sought(query)
        self.made.append(Call("search", (query,)))

        def found() -> SearchResults:
            hits = [hit for hit in self._hits(queries, where or {}) if min_score is None or hit.score >= min_score]
            return SearchResults(
                results=hits[offset : offset + k],
                took_ms=0.0,
                space=self._labels["space"],
                model=self._labels["model"],
                pretrained=self._labels["pretrained"],
                truncated=False,
            )

        return (yield from worked(found))

    def index(self) -> Flow[IndexInfo]:
        self.made.append(Call("index"))
        found = IndexInfo(
            count=len(self._items),
            space=self._labels["space"] if self._items else None,
            dimensions=self._dimensions if self._items else None,
            kind="fake",
            model=self._labels["model"],
            pretrained=self._labels["pretrained"],
            fields=described(self._items.values()),
        )
        return (yield from worked(lambda: found))

    def item(self, item_id: str) -> Flow[IndexItem]:
        listed([item_id], str)
        self.made.append(Call("item", (item_id,)))
        return (yield from worked(lambda: self._item(item_id)))

    def items(self, limit: int) -> Flow[list[IndexItem]]:
        self.made.append(Call("items", (limit,)))
        return (yield from worked(lambda: [self._item(item_id) for item_id in list(self._items)[:limit]]))

    def health(self) -> Flow[Health]:
        self.made.append(Call("health"))
        return (yield from worked(lambda: self._healthy))

    def _text(self, text: str) -> TextEmbedding:
        wrong = "invalid_request" if not text.strip() else self._failures.get(text)
        if wrong is not None:
            _fail(wrong)
        return TextEmbedding(**self._common(text.encode(errors="replace")), truncated=False)

    def _image(self, index: int, image: Image) -> ImageEmbedding | Failure:
        """Of bytes and files the content decides, of URLs the URL."""
        wrong = self._failures.get(image)
        url = image if isinstance(image, str) else None
        if isinstance(wrong, EmbeddingsError):
            _fail(wrong)
        if wrong is not None:
            return wire.failed_item(index, wrong, _detail(wrong), url)
        content = image.read_bytes() if isinstance(image, Path) else url.encode() if url is not None else image
        assert isinstance(content, bytes)
        digest = hashlib.sha256(content).hexdigest()
        return ImageEmbedding(**self._common(content), sha256=digest, width=640, height=480)

    def _item(self, item_id: str) -> IndexItem:
        wrong = self._failures.get(item_id) or (None if item_id in self._items else "item_not_found")
        if wrong is not None:
            _fail(wrong)
        return IndexItem(id=item_id, metadata=self._items[item_id])

    def _hits(self, queries: Sequence[Query], where: Filter) -> list[Hit]:
        """The items that a filter lets through, the nearest first; not those that are searched for."""
        vectors = [self._sought(query) for query in queries]
        weights = [query.weight for query in queries]
        total = [_product(weights, numbers) for numbers in zip(*vectors, strict=True)]
        length = math.hypot(*total)
        if length <= NOTHING * sum(map(abs, weights)):
            _fail("invalid_request")
        asked = {query.id for query in queries}
        hits = [
            Hit(id=item_id, score=_product(total, self._vector(item_id.encode())) / length, metadata=metadata)
            for item_id, metadata in self._items.items()
            if item_id not in asked and passes(metadata, where)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))

    def _sought(self, query: Query) -> Sequence[float]:
        if query.text is not None:
            return self._text(query.text).vector
        if query.id is not None:
            return self._vector(self._item(query.id).id.encode())
        if query.image is not None:
            found = self._image(0, query.image)
            return _fail(found.code) if isinstance(found, Failure) else found.vector
        assert query.embedding is not None
        if len(query.embedding) != self._dimensions:
            _fail("space_mismatch")
        length = math.hypot(*query.embedding)
        return [number / length for number in query.embedding] if length else _fail("invalid_request")

    def _common(self, content: bytes) -> dict[str, Any]:
        return {"vector": self._vector(content), "dimensions": self._dimensions, **self._labels}

    def _vector(self, content: bytes) -> tuple[float, ...]:
        draw = random.Random(content)  # noqa: S311  # no secret
        numbers = [draw.gauss() for _ in range(self._dimensions)]
        length = math.hypot(*numbers)
        return tuple(number / length for number in numbers)


class FakeClient(Client):
    """A `Client` without a service behind it.

    The same content has the same vector, of length 1, in every process; of a URL it's the URL itself. `calls` holds
    what was called.

    Args:
        dimensions: how many numbers a vector has.
        space: what the vectors say they are of.
        failures: what fails, by the text, URL, bytes or path it is asked for with: a code of the service's, as the
            `Failure` of an item or the `ServiceError` of a whole call, or an exception to raise. An item of the index
            fails by its id.
        items: what the index holds: metadata by id. An item's vector is the one that its id would have as a text.
    """

    _calls: _FakeCalls

    def __init__(
        self,
        *,
        dimensions: int = 512,
        space: str = "fake",
        failures: Mapping[Image, str | EmbeddingsError] | None = None,
        items: Mapping[str, Metadata] | None = None,
    ) -> None:
        super().__init__(ADDRESS, "fake", transport=httpx.BaseTransport())
        self._calls = _FakeCalls(dimensions, space, failures or {}, items or {})

    @property
    def calls(self) -> list[Call]:
        """The calls so far."""
        return self._calls.made


class AsyncFakeClient(AsyncClient):
    """An `AsyncClient` without a service behind it; takes what `FakeClient` takes."""

    _calls: _FakeCalls

    def __init__(
        self,
        *,
        dimensions: int = 512,
        space: str = "fake",
        failures: Mapping[Image, str | EmbeddingsError] | None = None,
        items: Mapping[str, Metadata] | None = None,
    ) -> None:
        super().__init__(ADDRESS, "fake", transport=httpx.AsyncBaseTransport())
        self._calls = _FakeCalls(dimensions, space, failures or {}, items or {})

    @property
    def calls(self) -> list[Call]:
        return self._calls.made


def _product(these: Sequence[float], those: Sequence[float]) -> float:
    return sum(one * other for one, other in zip(these, those, strict=True))


def _fail(wrong: str | EmbeddingsError) -> NoReturn:
    if isinstance(wrong, EmbeddingsError):
        raise wrong
    kind = AuthenticationError if wrong == "unauthorized" else ServiceError
    raise kind(_detail(wrong), status=STATUSES.get(wrong, 422), code=wrong)


def _detail(code: str) -> str:
    return f"The fake was told to fail with {code}."
