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
from tate_embeddings_client.calls import Calls, Flow, listed, worked
from tate_embeddings_client.clients import TIMEOUT_S, AsyncClient, Client
from tate_embeddings_client.clock import Clock
from tate_embeddings_client.errors import AuthenticationError, EmbeddingsError, ServiceError
from tate_embeddings_client.results import Failure, Health, ImageEmbedding, Mixed, TextEmbedding
from tate_embeddings_client.wire import Image

ADDRESS = "http://embeddings.invalid"
# The status that a failure of one image or text has where it is sent alone; whatever isn't named is about the image.
STATUSES = {
    "invalid_request": 422,
    "unauthorized": 401,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "internal": 500,
    "image_host_failed": 502,
    "overloaded": 503,
    "not_ready": 503,
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

    def __init__(self, dimensions: int, space: str, failures: Mapping[Image, str | EmbeddingsError]) -> None:
        super().__init__(TIMEOUT_S, space, Clock())
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

    def _common(self, content: bytes) -> dict[str, Any]:
        draw = random.Random(content)  # noqa: S311  # no secret
        numbers = [draw.gauss() for _ in range(self._dimensions)]
        length = math.hypot(*numbers)
        return {"vector": tuple(number / length for number in numbers), "dimensions": self._dimensions, **self._labels}


class FakeClient(Client):
    """A `Client` without a service behind it.

    The same content has the same vector, of length 1, in every process; of a URL it's the URL itself. `calls` holds
    what was called.

    Args:
        dimensions: how many numbers a vector has.
        space: what the vectors say they are of.
        failures: what fails, by the text, URL, bytes or path it is asked for with: a code of the service's, as the
            `Failure` of an item or the `ServiceError` of a whole call, or an exception to raise.
    """

    _calls: _FakeCalls

    def __init__(
        self,
        *,
        dimensions: int = 512,
        space: str = "fake",
        failures: Mapping[Image, str | EmbeddingsError] | None = None,
    ) -> None:
        super().__init__(ADDRESS, "fake", transport=httpx.BaseTransport())
        self._calls = _FakeCalls(dimensions, space, failures or {})

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
    ) -> None:
        super().__init__(ADDRESS, "fake", transport=httpx.AsyncBaseTransport())
        self._calls = _FakeCalls(dimensions, space, failures or {})

    @property
    def calls(self) -> list[Call]:
        return self._calls.made


def _fail(wrong: str | EmbeddingsError) -> NoReturn:
    if isinstance(wrong, EmbeddingsError):
        raise wrong
    kind = AuthenticationError if wrong == "unauthorized" else ServiceError
    raise kind(_detail(wrong), status=STATUSES.get(wrong, 422), code=wrong)


def _detail(code: str) -> str:
    return f"The fake was told to fail with {code}."
