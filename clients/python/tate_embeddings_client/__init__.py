"""Calls a tate-embeddings service: words and pictures in, unit vectors out; sync and async."""

from tate_embeddings_client.clients import AsyncClient, Client
from tate_embeddings_client.errors import (
    AuthenticationError,
    ConnectionFailed,
    EmbeddingsError,
    ServiceError,
    SpaceChanged,
    Timeout,
    UnexpectedAnswer,
)
from tate_embeddings_client.results import Embedding, Failure, Health, ImageEmbedding, Mixed, TextEmbedding
from tate_embeddings_client.wire import Image

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "ConnectionFailed",
    "Embedding",
    "EmbeddingsError",
    "Failure",
    "Health",
    "Image",
    "ImageEmbedding",
    "Mixed",
    "ServiceError",
    "SpaceChanged",
    "TextEmbedding",
    "Timeout",
    "UnexpectedAnswer",
]
