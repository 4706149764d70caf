"""Model choice, export, tokens, preprocessing and engines: texts and pictures to unit vectors."""

from typing import TYPE_CHECKING

__all__ = ["EmbeddingModel"]

if TYPE_CHECKING:
    from app.embeddings.model import EmbeddingModel
else:

    def __getattr__(name: str) -> type:
        """`EmbeddingModel` when it is asked for: a decoder's process takes `preprocess` from here, and no engine."""
        if name != "EmbeddingModel":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from app.embeddings.model import EmbeddingModel

        return EmbeddingModel
