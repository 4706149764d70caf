"""Model choice, export, tokens, preprocessing and engines: texts and pictures to unit vectors."""

from app.embeddings.model import EmbeddingModel

__all__ = ["EmbeddingModel"]
