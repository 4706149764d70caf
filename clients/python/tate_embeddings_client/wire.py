"""What goes over the wire: calls to requests, answers to results. No connection, no time."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

from tate_embeddings_client.clock import asked_wait_s
from tate_embeddings_client.errors import RETRYABLE_CODES, AuthenticationError, ServiceError, UnexpectedAnswer
from tate_embeddings_client.results import (
    Embedding,
    Failure,
    FieldInfo,
    Health,
    Hit,
    ImageEmbedding,
    IndexInfo,
    IndexItem,
    Mixed,
    SearchResults,
    TextEmbedding,
    ValueCount,
)

T = TypeVar("T")
P = ParamSpec("P")

# A URL, the image's bytes, or the file that holds them.
Image = str | bytes | Path

# What has to be so of an item's metadata: of each field a value, a list of which one is enough, or bounds.
Filter = Mapping[str, Any]

# The service's own limits of one request, as it is configured by default.
MAX_BATCH_ITEMS = 256
MAX_BODY_BYTES = 64 * 1024 * 1024
# What JSON or a form put around one item, at most; and around all of them.
AROUND_ITEM = 256
AROUND_BODY = 1024

# The service goes by the bytes; it only has to be told that they are an image.
ANY_IMAGE = "image/unknown"

# What `quote` leaves alone, and paths don't.
DOTS = {".": "%2E", "..": "%2E%2E"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Something to search for: one text, one image, one item of the index by its `id`, or one vector.

    An image is a URL, bytes or a Path; an item isn't among its own results. `weight` is how much this counts beside
    the others of a search; below 0, away from it.
    """

    text: str | None = None
    image: Image | None = None
    id: str | None = None
    embedding: Sequence[float] | None = field(default=None, repr=False)
    weight: float = 1.0

    def __post_init__(self) -> None:
        kinds: dict[str, Any] = {"text": str, "image": Image, "id": str, "embedding": object}
        given = {name: value for name in kinds if (value := getattr(self, name)) is not None}
        if len(given) != 1:
            raise ValueError("A query has either a text, an image, an id or an embedding.")
        for name, value in given.items():
            if not isinstance(value, kinds[name]):
                raise TypeError(f"The {name} of a query is no {type(value).__name__}.")
        if self.embedding is not None:
            # As of results: nobody changes it, and arrays can't be compared.
            object.__setattr__(self, "embedding", tuple(map(float, self.embedding)))


@dataclass(frozen=True, slots=True)
class Request:
    """A request, but for where to and in whose name. All of them may be sent twice: none changes anything."""

    method: str
    path: str
    content: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    files: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def request_id(self) -> str | None:
        return self.headers.get("X-Request-ID")


HEALTH = Request("GET", "/health")
INDEX = Request("GET", "/index")


def embed_text(text: str) -> Request:
    """A text."""
    return _json("/embed-text", {"query": text})


def embed_image(image: str | bytes) -> Request:
    """An image behind a URL, or its bytes as the body."""
    if isinstance(image, str):
        return _json("/embed-image", {"url": image})
    return Request("POST", "/embed-image", image, ANY_IMAGE)


def embed_texts(texts: Sequence[str]) -> Request:
    """Texts of one request."""
    return _json("/embed/text", {"texts": texts})


def embed_urls(urls: Sequence[str]) -> Request:
    """Images behind URLs."""
    return _json("/embed/image", {"urls": urls})


def embed_files(files: Sequence[bytes]) -> Request:
    """Images as the files of a form, which are a quarter smaller than in base64."""
    return Request("POST", "/embed/image", files=tuple(files))


def embed_mixed(texts: Sequence[str], urls: Sequence[str]) -> Request:
    """Texts, and images behind URLs; a half of which there is nothing is left out."""
    return _json("/embed/mixed", {name: half for name, half in (("texts", texts), ("urls", urls)) if half})


def search(queries: Sequence[Query], *, k: int, offset: int, min_score: float | None, where: Filter | None) -> Request:
    """A search for one thing or several; images are URLs or bytes here, no longer paths."""
    body: dict[str, Any] = {"queries": [_query(query) for query in queries], "k": k, "offset": offset}
    if min_score is not None:
        body["min_score"] = min_score
    if where is not None:
        body["filter"] = dict(where)
    return _json("/search", body)


def item(item_id: str) -> Request:
    """An item of the index, whatever stands in its id."""
    # Nothing else that is quoted can be taken for a way up.
    return Request("GET", f"/items/{DOTS.get(item_id) or quote(item_id, safe='')}")


def items(limit: int) -> Request:
    """Some items of the index."""
    return Request("GET", f"/items?limit={limit:d}")


def size(item: str | int) -> int:
    """How many bytes of a body a string or a file of so many bytes takes."""
    return AROUND_ITEM + (len(json.dumps(item)) if isinstance(item, str) else item)


def fits(item_bytes: int) -> bool:
    """Whether an item of this size can be sent at all."""
    return item_bytes <= MAX_BODY_BYTES - AROUND_BODY


def batches(sizes: Sequence[int]) -> Iterator[slice]:
    """Consecutive items that go into one request each, as many as the service takes at once."""
    start = total = 0
    for place, item_bytes in enumerate(sizes):
        if place > start and (place - start == MAX_BATCH_ITEMS or not fits(total + item_bytes)):
            yield slice(start, place)
            start, total = place, 0
        total += item_bytes
    if sizes:
        yield slice(start, len(sizes))


def failure(answer: Answer, date: float) -> ServiceError | None:
    """What the service says went wrong, if it does; `date` is now."""
    if answer.status == 200:
        return None
    code, detail = f"http_{answer.status}", "The service, or what stands before it, didn't say why."
    try:
        body = json.loads(answer.content)
        code, detail = _of(str, body["code"]), _of(str, body["detail"])
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    kind = AuthenticationError if answer.status == 401 else ServiceError
    return kind(
        detail,
        status=answer.status,
        code=code,
        request_id=answer.request_id,
        retry_after_s=asked_wait_s(answer.headers.get("Retry-After", ""), date),
    )


def read(answer: Answer, reader: Callable[Concatenate[Any, P], T], *sent: P.args, **named: P.kwargs) -> T:
    """What an answer says, by the reader for it, which is told what was sent.

    Raises:
        UnexpectedAnswer: it isn't of the form that the service's answers have.
    """
    try:
        return reader(json.loads(answer.content), *sent, **named)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        pass  # these hold parts of the answer, which isn't ours to show
    raise UnexpectedAnswer("This is no answer of the service.", request_id=answer.request_id)


def health(body: Any) -> Health:
    """How the service says it is."""
    return Health(
        status=_of(str, body["status"]),
        model_loaded=_of(bool, body["model_loaded"]),
        text_model_loaded=_of(bool, body["text_model_loaded"]),
        image_model_loaded=_of(bool, body["image_model_loaded"]),
        device=_of(str | None, body["device"]),
        engine=_of(str | None, body["engine"]),
        precision=_of(str | None, body["precision"]),
        space=_of(str | None, body["space"]),
        demonstration=_of(bool, body.get("demonstration", False)),
    )


def text(body: Any) -> TextEmbedding:
    """A text's vector."""
    return _text(body, body["embedding"], body["truncated"])


def image(body: Any) -> ImageEmbedding:
    """An image's vector."""
    return _image(body, body["embedding"], body["sha256"], body["width"], body["height"])


def texts(body: Any, count: int) -> list[TextEmbedding]:
    """The vectors of as many texts as were sent."""
    found = [_text(body, *each) for each in zip(body["embeddings"], body["truncated"], strict=True)]
    _agree(len(found) == count)
    return found


def images(body: Any, urls: Sequence[str | None]) -> list[ImageEmbedding | Failure]:
    """A result for each image that was sent; `urls` has None for those that came as bytes."""
    parts = zip(body["embeddings"], body["sha256"], body["width"], body["height"], strict=True)
    return _placed(body, [_image(body, *part) for part in parts], urls)


def mixed(body: Any, count: int, urls: Sequence[str]) -> Mixed:
    """The vectors of as many texts as were sent, and a result for each URL."""
    found = [Embedding(**_common(body, vector)) for vector in body["text_embeddings"]]
    _agree(len(found) == count)
    seen = [Embedding(**_common(body, vector)) for vector in body["image_embeddings"]]
    return Mixed(texts=found, images=_placed(body, seen, urls))


def results(body: Any) -> SearchResults:
    """What a search found."""
    return SearchResults(
        results=[
            Hit(id=_of(str, hit["id"]), score=_number(hit["score"]), metadata=_of(dict, hit["metadata"]))
            for hit in _of(list, body["results"])
        ],
        took_ms=_number(body["took_ms"]),
        space=_of(str, body["space"]),
        model=_of(str, body["model"]),
        pretrained=_of(str, body["pretrained"]),
        truncated=_of(bool, body["truncated"]),
    )


def index(body: Any) -> IndexInfo:
    """What is in the index."""
    return IndexInfo(
        count=_of(int, body["count"]),
        space=_of(str | None, body["space"]),
        dimensions=_of(int | None, body["dimensions"]),
        kind=_of(str, body["kind"]),
        model=_of(str, body["model"]),
        pretrained=_of(str, body["pretrained"]),
        fields={name: _field(info) for name, info in body["fields"].items()},
    )


def one_item(body: Any, item_id: str) -> IndexItem:
    """The item that was asked for."""
    found = _item(body)
    _agree(found.id == item_id)
    return found


def some_items(body: Any) -> list[IndexItem]:
    """The items that there are."""
    return [_item(each) for each in _of(list, body["items"])]


def failed_item(index: int, code: str, detail: str, url: str | None) -> Failure:
    """An item that has no vector, by its code."""
    return Failure(index=index, code=code, detail=detail, url=url, retryable=code in RETRYABLE_CODES)


def _json(path: str, body: dict[str, Any]) -> Request:
    # ASCII: UTF-8 has no form for the lone surrogates that a string may hold; the service says what it thinks of them.
    return Request("POST", path, json.dumps(body).encode("ascii"), "application/json")


def _query(query: Query) -> dict[str, Any]:
    if isinstance(query.image, str):
        wanted: dict[str, Any] = {"url": query.image}
    elif query.image is not None:
        assert isinstance(query.image, bytes)
        wanted = {"image": b64encode(query.image).decode("ascii")}
    else:
        named = {"text": query.text, "id": query.id, "embedding": query.embedding}
        wanted = {name: value for name, value in named.items() if value is not None}
    return {**wanted, "weight": float(query.weight)}


def _item(body: Any) -> IndexItem:
    return IndexItem(id=_of(str, body["id"]), metadata=_of(dict, body["metadata"]))


def _field(body: Any) -> FieldInfo:
    return FieldInfo(
        values=[
            ValueCount(value=_of(str | int | float, each["value"]), count=_of(int, each["count"]))
            for each in _of(list, body["values"])
        ],
        distinct=_of(int, body["distinct"]),
        lowest=_of(int | float | None, body.get("lowest")),
        highest=_of(int | float | None, body.get("highest")),
    )


def _text(body: Any, vector: Any, truncated: Any) -> TextEmbedding:
    return TextEmbedding(**_common(body, vector), truncated=_of(bool, truncated))


def _image(body: Any, vector: Any, sha256: Any, width: Any, height: Any) -> ImageEmbedding:
    return ImageEmbedding(
        **_common(body, vector), sha256=_of(str, sha256), width=_of(int, width), height=_of(int, height)
    )


def _common(body: Any, vector: Any) -> dict[str, Any]:
    numbers = tuple(map(float, _of(list, vector)))
    _agree(len(numbers) == body["dimensions"])
    names = {name: _of(str, body[name]) for name in ("space", "model", "pretrained", "device")}
    return {"vector": numbers, "dimensions": len(numbers), **names}


def _placed(body: Any, found: Sequence[T], urls: Sequence[str | None]) -> list[T | Failure]:
    """Vectors and failures at the places that the answer says they belong to, each place once."""
    places: dict[int, T | Failure] = dict(zip(body["indices"], found, strict=True))
    for item in body["failed"]:
        index = _of(int, item["index"])
        _agree(index not in places)
        places[index] = failed_item(index, _of(str, item["code"]), _of(str, item["detail"]), urls[index])
    _agree(len(found) + len(body["failed"]) == len(urls))
    return [places[index] for index in range(len(urls))]


def _of(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _number(value: Any) -> float:
    return float(_of(int | float, value))


def _agree(agrees: bool) -> None:
    """Rather no result than one at the wrong place."""
    if not agrees:
        raise ValueError
