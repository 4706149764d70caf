"""What becomes of items, whoever embeds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.commands.items import Item
from app.embeddings.engines import Vectors
from app.errors import ServiceError


@dataclass(frozen=True)
class Embedded:
    """An item's unit vector and its space; `about` is what else there is to say of it."""

    vector: Vectors
    space: str
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """Why an item has no vector: `code` for programs, `detail` for people."""

    code: str
    detail: str

    @classmethod
    def by(cls, error: ServiceError) -> "Failed":
        """The same, of a failure of ours."""
        return cls(error.code, error.detail)


Outcome = Embedded | Failed


class Embeds(Protocol):
    """What embeds items: a model in this process, or a service. What becomes of each comes back in order."""

    def texts(self, texts: Sequence[str]) -> Sequence[Outcome]:
        """Embed texts, none of them blank."""

    def images(self, images: Sequence[Item]) -> Sequence[Outcome]:
        """Embed images: files, and what is behind URLs."""
