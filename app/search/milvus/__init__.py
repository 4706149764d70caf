"""An index in Milvus: `store.py` is the store, `connection.py` how Milvus is asked, `lite.py` a file of Milvus Lite.

`collections.py` says which collection is searched, `rows.py` what an item is in it, and `expressions.py` how a filter
is asked for.
"""

import os

# What is set here is read when the libraries are imported, which is below.
# pymilvus would read a `.env` from the folders above it into this process's environment, secrets included.
os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")
# Milvus Lite keeps what was put in last apart, where a search takes 85 µs for each item, until this much has gathered.
os.environ.setdefault("MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES", str(2 * 1024 * 1024))

from app.search.milvus.store import opened

__all__ = ["opened"]
