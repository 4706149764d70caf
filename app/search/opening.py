"""From `INDEX_URL` to the store that it names."""

from importlib import import_module
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from app.errors import IndexUnusable
from app.search.store import Store

# By the scheme of the URL: the module that has a `Store` of its own, and the group of packages that it needs.
KINDS = {
    "faiss": ("app.search.files", "main"),
    "postgresql": ("app.search.postgresql", "postgresql"),
    "postgres": ("app.search.postgresql", "postgresql"),
    "elasticsearch": ("app.search.elasticsearch", "elasticsearch"),
    "elasticsearch+http": ("app.search.elasticsearch", "elasticsearch"),
    "elasticsearch+https": ("app.search.elasticsearch", "elasticsearch"),
    "milvus": ("app.search.milvus", "milvus"),
    "milvus+http": ("app.search.milvus", "milvus"),
    "milvus+https": ("app.search.milvus", "milvus"),
}


def in_folder(folder: Path) -> str:
    """The URL of the index that lies in a folder."""
    return f"faiss://{quote(str(folder.absolute()))}"


def folder_of(index_url: str) -> Path | None:
    """The folder in which the index lies that a URL names, if it lies in one."""
    parts = urlsplit(index_url)
    return Path(unquote(parts.path)) if parts.scheme == "faiss" else None


def opened(index_url: str) -> Store:
    """The store that a URL names. What keeps it isn't asked yet; close it.

    Raises:
        IndexUnusable: a package is missing, or the URL can't be understood.
    """
    try:
        module, group = KINDS[urlsplit(index_url).scheme]
    except (KeyError, ValueError):
        raise IndexUnusable("INDEX_URL is wrong: it is no URL of an index. Example: faiss:///var/lib/index") from None
    try:
        store: Store = import_module(module).opened(index_url)
    except ImportError as error:
        raise IndexUnusable(
            f"INDEX_URL={urlsplit(index_url).scheme}:… needs {error.name}, which is not installed here: "
            f"poetry install --with {group}, or build the image with EXTRAS=,{group}"
        ) from error
    return store
