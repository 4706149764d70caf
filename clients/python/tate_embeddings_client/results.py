"""What calls give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A vector of length 1 and where it comes from; compare only vectors whose `space` is equal.

    The vector is a tuple, so that nobody changes it under whoever else holds it, a cache say; numpy and json take it
    as they take a list.
    """

    vector: tuple[float, ...] = field(repr=False)
    dimensions: int
    space: str
    model: str
    pretrained: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEmbedding(Embedding):
    """A text's vector; `truncated` if the text was longer than the model reads."""

    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEmbedding(Embedding):
    """An image's vector, the digest of its bytes, and its size as displayed."""

    sha256: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An item of a list that has no vector: `index` is its place in the list, `url` is set if it was one.

    Nothing tries it again by itself; `retryable` says whether that may help.
    """

    index: int
    code: str
    detail: str
    url: str | None
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """Vectors of texts and of images, each in the order of what was sent."""

    texts: Sequence[Embedding]
    images: Sequence[Embedding | Failure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the service is: `healthy`, `loading`, `draining` or `unhealthy`. What isn't known yet is None."""

    status: str
    model_loaded: bool
    text_model_loaded: bool
    image_model_loaded: bool
    device: str | None
    engine: str | None
    precision: str | None
    space: str | None
    demonstration: bool

    @property
    def ready(self) -> bool:
        """Whether it embeds now."""
        return self.status == "healthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An item of the index that was found; `score` is the cosine between its vector and what was searched for."""

    id: str
    score: float
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResults:
    """What is nearest, the nearest first; `took_ms` is the index's own time.

    `space` is the one that was searched in; `truncated` says that a text was longer than the model reads.
    """

    results: list[Hit]
    took_ms: float
    space: str
    model: str
    pretrained: str
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCount:
    """A value that items have in a field, and how many have it."""

    value: str | float | bool
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldInfo:
    """What filters can ask a field for: its most common values, the most common first, and how many there are.

    Of a field with more than a thousand values `values` is empty and `distinct` is 1001. `lowest` and `highest` are of
    its numbers, None if it has none.
    """

    values: list[ValueCount]
    distinct: int
    lowest: float | None
    highest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexInfo:
    """What the service searches in. Of an empty index `space` and `dimensions` are None.

    The space is the one of the index's vectors: if it isn't the one that the service embeds into now, searches fail.
    `model` and `pretrained` are what the service embeds with.
    """

    count: int
    space: str | None
    dimensions: int | None
    kind: str
    model: str
    pretrained: str
    fields: Mapping[str, FieldInfo]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexItem:
    """An item of the index, without its vector."""

    id: str
    metadata: Mapping[str, Any]
