"""An index in Elasticsearch: `store.py` is the store, `asking.py` how the server is asked.

`bodies.py` says what it is sent, and `turns.py` whose turn it is to put another index in the place of one.
"""

from app.search.elasticsearch.store import opened

__all__ = ["opened"]
