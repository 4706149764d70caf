"""The index that needs no server: a folder.

    FOLDER/
      faiss.index            what is quick to search; replaced by one rename, and names the file of its items
      items-<name>.sqlite    the items: what is true
      faiss.index.lock       held by whoever changes them

What was put in since `faiss.index` was made is compared one by one, and what was taken out is left out, so that
everybody finds a change at once; `settle` makes the index anew where that begins to take time.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.search.files.store import FileStore


def opened(index_url: str) -> FileStore:
    """The index in the folder that `faiss:///FOLDER` names."""
    return FileStore(Path(unquote(urlsplit(index_url).path)))
