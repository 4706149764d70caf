"""Admission, deadlines and life cycle around one model, for asyncio. No HTTP types."""

from app.serving.embedder import Embedder, State

__all__ = ["Embedder", "State"]
