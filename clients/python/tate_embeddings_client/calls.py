"""What calls do, told as steps: the clients take them, one blocking and one awaiting, and tell what came of each."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from tate_embeddings_client import wire
from tate_embeddings_client.clock import Clock, Deadline
from tate_embeddings_client.errors import ConnectionFailed, EmbeddingsError, SpaceChanged, Timeout
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

# The longest wait before each further try; the real one is anything up to it, so that callers who failed together
# don't come back together.
WAITS_S = (0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this; an `Answer` or a `Broken` is what comes of it."""

    request: Request
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer, and why."""

    reason: str
    late: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Let so much time pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Something that reads files; it comes to what it returns."""

    work: Callable[[], Any]


Step = Send | Wait | Work
Flow = Generator[Step, Any, T]


def worked(work: Callable[[], T]) -> Flow[T]:
    """What a piece of work comes to."""
    result: T = yield Work(work)
    return result


class Calls:
    """The calls of one client, which share the space that its vectors are of."""

    def __init__(self, timeout_s: float, space: str | None, clock: Clock) -> None:
        if not 0 < timeout_s < float("inf"):
            raise ValueError("timeout_s must be a number of seconds above 0.")
        self._timeout_s = timeout_s
        self._clock = clock
        self._space = space
        self._first = Lock()

    @property
    def space(self) -> str | None:
        return self._space

    def embed_text(self, text: str) -> Flow[TextEmbedding]:
        answer = yield from self._tried(wire.embed_text(text), self._deadline())
        return self._same_space(answer, wire.read(answer, wire.text))

    def embed_texts(self, texts: Sequence[str]) -> Flow[list[TextEmbedding]]:
        texts = listed(texts, str)
        deadline = self._deadline()
        results: list[TextEmbedding] = []
        for batch in wire.batches([wire.size(text) for text in texts]):
            part = texts[batch]
            answer = yield from self._tried(wire.embed_texts(part), deadline)
            found = wire.read(answer, wire.texts, len(part))
            results += [self._same_space(answer, embedding) for embedding in found]
        return results

    def embed_image(self, image: Image) -> Flow[ImageEmbedding]:
        listed([image], Image)
        deadline = self._deadline()
        sent = (yield from worked(image.read_bytes)) if isinstance(image, Path) else image
        answer = yield from self._tried(wire.embed_image(sent), deadline)
        return self._same_space(answer, wire.read(answer, wire.image))

    def embed_images(self, images: Sequence[Image]) -> Flow[list[ImageEmbedding | Failure]]:
        images = listed(images, Image)
        deadline = self._deadline()
        # All of them before anything is sent: a file may be missing.
        sizes = yield from worked(lambda: [_size(image) for image in images])
        results: dict[int, ImageEmbedding | Failure] = {
            place: wire.failed_item(place, "too_large", "No request can hold this image.", _url(image))
            for place, (image, size) in enumerate(zip(images, sizes, strict=True))
            if not wire.fits(size)
        }
        urls = [place for place, image in enumerate(images) if isinstance(image, str) and place not in results]
        uploads = [place for place, image in enumerate(images) if not isinstance(image, str) and place not in results]
        for kind in (urls, uploads):
            for batch in wire.batches([sizes[place] for place in kind]):
                part = [images[place] for place in kind[batch]]
                found = yield from self._images(part, deadline)
                results |= {
                    place: replace(result, index=place) if isinstance(result, Failure) else result
                    for place, result in zip(kind[batch], found, strict=True)
                }
        return [results[place] for place in range(len(images))]

    def embed_mixed(self, texts: Sequence[str], urls: Sequence[str]) -> Flow[Mixed]:
        texts, urls = listed(texts, str), listed(urls, str)
        if not texts and not urls:
            return Mixed(texts=[], images=[])
        answer = yield from self._tried(wire.embed_mixed(texts, urls), self._deadline())
        found = wire.read(answer, wire.mixed, len(texts), urls)
        for result in (*found.texts, *found.images):
            self._same_space(answer, result)
        return found

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
        deadline = self._deadline()

        def request() -> Request:
            read = [replace(each, image=_content(each.image)) if _is_upload(each.image) else each for each in queries]
            return wire.search(read, k=k, offset=offset, min_score=min_score, where=where)

        uploads = any(_is_upload(each.image) for each in queries)
        answer = yield from self._tried((yield from worked(request)) if uploads else request(), deadline)
        return self._same_space(answer, wire.read(answer, wire.results))

    def index(self) -> Flow[IndexInfo]:
        # Its space is told, not judged: callers ask to see whether it's theirs.
        answer = yield from self._tried(wire.INDEX, self._deadline())
        return wire.read(answer, wire.index)

    def item(self, item_id: str) -> Flow[IndexItem]:
        listed([item_id], str)
        answer = yield from self._tried(wire.item(item_id), self._deadline())
        return wire.read(answer, wire.one_item, item_id)

    def items(self, limit: int) -> Flow[list[IndexItem]]:
        answer = yield from self._tried(wire.items(limit), self._deadline())
        return wire.read(answer, wire.some_items)

    def health(self) -> Flow[Health]:
        answer = yield from self._once(wire.HEALTH, self._deadline())
        try:
            return wire.read(answer, wire.health)
        except EmbeddingsError as error:
            raise wire.failure(answer, self._clock.date()) or error from None

    def _deadline(self) -> Deadline:
        return Deadline(self._timeout_s, self._clock.now)

    def _images(self, part: Sequence[Image], deadline: Deadline) -> Flow[list[ImageEmbedding | Failure]]:
        """Images of one request: all of them URLs, or none."""
        urls = [image for image in part if isinstance(image, str)]
        if urls:
            request = wire.embed_urls(urls)
        else:
            request = wire.embed_files((yield from worked(lambda: [_content(image) for image in part])))
        answer = yield from self._tried(request, deadline)
        found = wire.read(answer, wire.images, urls or [None] * len(part))
        return [self._same_space(answer, result) for result in found]

    def _tried(self, request: Request, deadline: Deadline) -> Flow[Answer]:
        """An answer that is no failure, after further tries where they may help and a wait ends within the deadline."""
        waits = iter(WAITS_S)
        while True:
            try:
                answer = yield from self._once(request, deadline)
                if failure := wire.failure(answer, self._clock.date()):
                    raise failure
                return answer
            except EmbeddingsError as error:
                longest_s = next(waits, None)
                wait_s = max(error.retry_after_s, self._clock.chance() * (longest_s or 0))
                if not error.retryable or longest_s is None or wait_s >= deadline.left_s():
                    raise
            yield Wait(wait_s)

    def _once(self, request: Request, deadline: Deadline) -> Flow[Answer]:
        late = Timeout(f"No answer within {self._timeout_s:g} seconds.")
        if deadline.left_s() <= 0:
            raise late
        outcome: Answer | Broken = yield Send(request, deadline)
        if isinstance(outcome, Answer):
            return outcome
        raise late if outcome.late else ConnectionFailed(outcome.reason)

    def _same_space(self, answer: Answer, result: T) -> T:
        """The same result, if it is of the space that was asked for or, else, came first."""
        found: str | None = getattr(result, "space", None)
        if found is None:
            return result  # a failure is of no space
        with self._first:
            self._space = self._space or found
        if found != self._space:
            raise SpaceChanged(
                f"The service's vectors are of space {found} now, no longer of {self._space}.",
                expected=self._space,
                found=found,
                request_id=answer.request_id,
            )
        return result


def listed(items: Sequence[T], kind: Any) -> list[T]:
    """The items, each of the right kind. A string is a sequence of strings too, but nobody means that."""
    if isinstance(items, str | bytes):
        raise TypeError("A list is needed, not a single string.")
    listed = list(items)
    for item in listed:
        if not isinstance(item, kind):
            wanted = {str: "A string", Query: "A Query"}.get(kind, "A URL (a string), bytes or a pathlib.Path")
            raise TypeError(f"{wanted} is needed, not {type(item).__name__}.")
    return listed


def sought(query: str | Query | Sequence[Query]) -> list[Query]:
    """What is searched for, in the one form that all of it has."""
    if isinstance(query, str):
        return [Query(text=query)]
    return [query] if isinstance(query, Query) else listed(query, Query)


def _url(image: Image) -> str | None:
    return image if isinstance(image, str) else None


def _size(image: Image) -> int:
    if isinstance(image, Path):
        return wire.size(image.stat().st_size)
    return wire.size(image if isinstance(image, str) else len(image))


def _is_upload(image: Image | None) -> bool:
    return isinstance(image, bytes | Path)


def _content(image: Image | None) -> bytes:
    assert isinstance(image, bytes | Path)
    return image.read_bytes() if isinstance(image, Path) else image
