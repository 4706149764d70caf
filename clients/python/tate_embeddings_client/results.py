"""What calls give."""

from collections.abc import Sequence
from dataclasses import dataclass, field


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
