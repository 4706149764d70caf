"""Admission, deadlines and life cycle around one model, for asyncio. No HTTP types."""

from app.serving.embedder import Embedder, State
from app.serving.pictures import EmbeddedPicture, Pictures, Source

__all__ = ["EmbeddedPicture", "Embedder", "Pictures", "Source", "State"]
