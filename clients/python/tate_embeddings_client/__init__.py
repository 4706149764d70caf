"""Calls a tate-embeddings service: words and pictures in, unit vectors or what is near to them out; sync and async."""

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
from tate_embeddings_client.results import (
    Embedding,
    Failure,
    FieldInfo,
    Health,
    Hit,
    ImageEmbedding,
    IndexInfo,
    IndexItem,
    Mixed,
    SearchResults,
    TextEmbedding,
    ValueCount,
)
from tate_embeddings_client.wire import Filter, Image, Query

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "ConnectionFailed",
    "Embedding",
    "EmbeddingsError",
    "Failure",
    "FieldInfo",
    "Filter",
    "Health",
    "Hit",
    "Image",
    "ImageEmbedding",
    "IndexInfo",
    "IndexItem",
    "Mixed",
    "Query",
    "SearchResults",
    "ServiceError",
    "SpaceChanged",
    "TextEmbedding",
    "Timeout",
    "UnexpectedAnswer",
    "ValueCount",
]
