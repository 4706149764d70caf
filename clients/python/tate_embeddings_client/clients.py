"""The clients: `Client` blocks, `AsyncClient` awaits; both do what `calls.py` tells them."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from tate_embeddings_client.calls import Broken, Calls, Flow, Send, Step, Wait
from tate_embeddings_client.clock import Clock
from tate_embeddings_client.results import (
    Failure,
    Health,
    ImageEmbedding,
    IndexInfo,
    IndexItem,
    Mixed,
    SearchResults,
    TextEmbedding,
)
from tate_embeddings_client.wire import Answer, Filter, Image, Query, Request

T = TypeVar("T")

TIMEOUT_S = 30.0


class Client:
    """Calls a service, over one pool of connections; close it, or use it in a `with`. Threads may share one.

    Args:
        base_url: where the service is, such as `https://embeddings.example.org`.
        token: one of its `AUTH_TOKEN`s.
        timeout_s: how long a call may take in all: connecting, waiting and trying again included, and every request of
            a list that takes several.
        space: the space that stored vectors are of. Without it, the first one seen counts.
        transport: how connections are made, if not in httpx's usual way: with a certificate authority of one's own
            (`httpx.HTTPTransport(verify=...)`), or not at all (`httpx.MockTransport`).
        clock: time and chance, for tests.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        space: str | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._calls = Calls(timeout_s, space, self._clock)
        self._http = httpx.Client(base_url=_address(base_url), headers=_headers(token), transport=transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._http.base_url)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    @property
    def space(self) -> str | None:
        """The space that vectors have to be of; None until the first, if none was given."""
        return self._calls.space

    def embed_text(self, text: str) -> TextEmbedding:
        """The vector of a text."""
        return self._run(self._calls.embed_text(text))

    def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        """The vectors of texts, in their order. A text that is blank fails all of them."""
        return self._run(self._calls.embed_texts(texts))

    def embed_image(self, image: Image) -> ImageEmbedding:
        """The vector of an image: behind a URL (a string) that the service fetches, in bytes, or in a file (a Path)."""
        return self._run(self._calls.embed_image(image))

    def embed_images(self, images: Sequence[Image]) -> list[ImageEmbedding | Failure]:
        """A vector or a `Failure` for each image, in their order.

        As many requests as the service's limits make necessary (256 images, 64 MiB) are sent one after the other; one
        that fails as a whole fails the call.
        """
        return self._run(self._calls.embed_images(images))

    def embed_mixed(self, texts: Sequence[str] = (), urls: Sequence[str] = ()) -> Mixed:
        """The vectors of texts and of images behind URLs, in one request."""
        return self._run(self._calls.embed_mixed(texts, urls))

    def search(
        self,
        query: str | Query | Sequence[Query],
        *,
        k: int = 10,
        offset: int = 0,
        min_score: float | None = None,
        filter: Filter | None = None,  # noqa: A002  # as the service calls it
    ) -> SearchResults:
        """What of the service's index is nearest to a text, to a `Query`, or to several of these together.

        Args:
            query: what to search for.
            k: how many results, at most.
            offset: how many of the best are passed over.
            min_score: the lowest cosine that still counts.
            filter: what must be so of an item's metadata: of each field a value, a list of which one is enough, or
                bounds, `{"gte": ..., "lte": ...}`.
        """
        return self._run(self._calls.search(query, k=k, offset=offset, min_score=min_score, where=filter))

    def index(self) -> IndexInfo:
        """What the service's index holds, and of what space, which isn't judged: it may be another than `space`."""
        return self._run(self._calls.index())

    def item(self, id: str) -> IndexItem:  # noqa: A002  # as the service calls it
        """An item of the index. One that there isn't is a `ServiceError` with the code `item_not_found`."""
        return self._run(self._calls.item(id))

    def items(self, limit: int = 50) -> list[IndexItem]:
        """Some items of the index, in no particular order."""
        return self._run(self._calls.items(limit))

    def health(self) -> Health:
        """How the service is now, ready or not. Asked once; what can't be reached raises `ConnectionFailed`."""
        return self._run(self._calls.health())

    def _run(self, flow: Flow[T]) -> T:
        outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = self._take(step)

    def _take(self, step: Step) -> Any:
        if isinstance(step, Send):
            return self._exchange(step)
        if isinstance(step, Wait):
            return self._clock.sleep(step.seconds)
        return step.work()

    def _exchange(self, step: Send) -> Answer | Broken:
        try:
            with self._http.stream(**_arguments(step.request), extensions={"timeout": step.deadline}) as response:
                content = bytearray()
                # httpx gives each read the time that was left as the body began; a body that trickles in takes more.
                for chunk in response.iter_bytes():
                    content += chunk
                    if step.deadline.left_s() <= 0:
                        raise TimeoutError
        except (httpx.RequestError, TimeoutError) as error:
            return _broken(error)
        return Answer(response.status_code, response.headers, bytes(content))


class AsyncClient:
    """Calls a service from asyncio; otherwise as `Client`, whose words describe these methods too."""

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        space: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._calls = Calls(timeout_s, space, self._clock)
        self._http = httpx.AsyncClient(base_url=_address(base_url), headers=_headers(token), transport=transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._http.base_url)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    @property
    def space(self) -> str | None:
        return self._calls.space

    async def embed_text(self, text: str) -> TextEmbedding:
        return await self._run(self._calls.embed_text(text))

    async def embed_texts(self, texts: Sequence[str]) -> list[TextEmbedding]:
        return await self._run(self._calls.embed_texts(texts))

    async def embed_image(self, image: Image) -> ImageEmbedding:
        return await self._run(self._calls.embed_image(image))

    async def embed_images(self, images: Sequence[Image]) -> list[ImageEmbedding | Failure]:
        return await self._run(self._calls.embed_images(images))

    async def embed_mixed(self, texts: Sequence[str] = (), urls: Sequence[str] = ()) -> Mixed:
        return await self._run(self._calls.embed_mixed(texts, urls))

    async def search(
        self,
        query: str | Query | Sequence[Query],
        *,
        k: int = 10,
        offset: int = 0,
        min_score: float | None = None,
        filter: Filter | None = None,  # noqa: A002  # as the service calls it
    ) -> SearchResults:
        return await self._run(self._calls.search(query, k=k, offset=offset, min_score=min_score, where=filter))

    async def index(self) -> IndexInfo:
        return await self._run(self._calls.index())

    async def item(self, id: str) -> IndexItem:  # noqa: A002  # as the service calls it
        return await self._run(self._calls.item(id))

    async def items(self, limit: int = 50) -> list[IndexItem]:
        return await self._run(self._calls.items(limit))

    async def health(self) -> Health:
        return await self._run(self._calls.health())

    async def _run(self, flow: Flow[T]) -> T:
        outcome = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            outcome = await self._take(step)

    async def _take(self, step: Step) -> Any:
        if isinstance(step, Send):
            return await self._exchange(step)
        if isinstance(step, Wait):
            return await self._clock.sleep_async(step.seconds)
        return await asyncio.to_thread(step.work)

    async def _exchange(self, step: Send) -> Answer | Broken:
        try:
            async with asyncio.timeout(step.deadline.left_s()):
                response = await self._http.request(**_arguments(step.request), extensions={"timeout": step.deadline})
        except (httpx.RequestError, TimeoutError) as error:
            return _broken(error)
        return Answer(response.status_code, response.headers, response.content)


def _address(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    # httpx would send user info in place of the token.
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise ValueError("base_url must be an http(s) URL without user info, such as https://embeddings.example.org")
    return url


def _headers(token: str) -> dict[bytes, bytes]:
    token = token.strip()
    # Judged here: whoever finds out later shows the header.
    if not token or not token.isprintable():
        raise ValueError("The token is empty, or has characters that no header can hold.")
    return {b"Authorization": b"Bearer " + token.encode(), b"User-Agent": b"tate-embeddings-client"}


def _arguments(request: Request) -> dict[str, Any]:
    """A request in httpx's words."""
    return {
        "method": request.method,
        "url": request.path,
        "content": request.content,
        "files": [("files", ("image", content)) for content in request.files] or None,
        "headers": {"Content-Type": request.content_type} if request.content_type else None,
    }


def _broken(error: httpx.RequestError | TimeoutError) -> Broken:
    """Why there was no answer, in words alone: the frames of the error hold the request's headers."""
    # Only a connection gets less time than there is; whatever else runs out of it was the last.
    late = isinstance(error, TimeoutError | httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)
    return Broken(f"{type(error).__name__}: {error}".removesuffix(": "), late)
