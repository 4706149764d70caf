"""Embedding by a running service, through the package that its callers use."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self

import numpy as np

import tate_embeddings_client as client
from app.commands.items import Item, read
from app.commands.outcomes import Embedded, Failed, Outcome
from app.config import Settings
from app.errors import InstanceUnusable, ServiceError


class RemoteService:
    """A running service, for use in a `with`.

    Raises:
        InstanceUnusable: it can't be called, doesn't know the token, or has changed its space.
    """

    def __init__(self, url: str, token: str, settings: Settings) -> None:
        self._url = url
        self._max_bytes = settings.max_image_bytes
        self._held = settings.max_body_bytes
        try:
            self._client = client.Client(url, token, timeout_s=settings.request_timeout_s)
        except ValueError as error:
            raise InstanceUnusable(f"{url} with this token can't be called: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def sample(self) -> client.Embedding:
        """Some vector of the service, which says of which model and space all of them are."""
        try:
            return self._client.embed_text("a picture")
        except client.EmbeddingsError as error:
            raise InstanceUnusable(f"{self._url}: {error}") from None

    def texts(self, texts: Sequence[str]) -> Sequence[Outcome]:
        return self._outcomes(len(texts), partial(self._client.embed_texts, texts))

    def images(self, images: Sequence[Item]) -> Sequence[Outcome]:
        outcomes: dict[int, Outcome] = {}
        for batch in self._batches(images, outcomes):
            found = self._outcomes(len(batch), partial(self._client.embed_images, [*batch.values()]))
            outcomes |= zip(batch, found, strict=True)
        return [outcomes[place] for place in range(len(images))]

    def _batches(self, images: Sequence[Item], outcomes: dict[int, Outcome]) -> Iterator[dict[int, str | bytes]]:
        """Images by their places, as many as are to be in memory at once; files that can't be read are outcomes."""
        batch: dict[int, str | bytes] = {}
        held = 0
        for place, item in enumerate(images):
            try:
                image = item.name if item.kind == "url" else read(item.name, self._max_bytes)
            except ServiceError as error:
                outcomes[place] = Failed.by(error)
                continue
            if batch and held + len(image) > self._held:
                yield batch
                batch, held = {}, 0
            batch[place] = image
            held += len(image)
        if batch:
            yield batch

    def _outcomes(self, count: int, call: Callable[[], Sequence[Any]]) -> Sequence[Outcome]:
        """What a call gives. What it raises is of all items alike, or of no use to go on with."""
        try:
            return [self._outcome(result) for result in call()]
        except (
            client.AuthenticationError,
            client.ConnectionFailed,
            client.SpaceChanged,
            client.UnexpectedAnswer,
        ) as error:
            raise InstanceUnusable(f"{self._url}: {error}") from None
        except client.EmbeddingsError as error:
            return [Failed(error.code, error.detail)] * count

    def _outcome(self, result: Any) -> Outcome:
        if isinstance(result, client.Failure):
            return Failed(result.code, result.detail)
        names = ("truncated",) if isinstance(result, client.TextEmbedding) else ("sha256", "width", "height")
        about = {name: getattr(result, name) for name in names}
        return Embedded(np.array(result.vector, np.float32), result.space, about)
