"""CLIP embeddings over HTTP: words and pictures in, unit vectors out."""

from importlib.metadata import version

__version__ = version("tate-embeddings")
