"""An index in PostgreSQL with pgvector: `store.py` is the store.

`connections.py` asks the database, `schema.py` knows its tables, `nearest.py` searches them, `conditions.py` puts
filters into SQL.
"""

from app.search.postgresql.store import opened

__all__ = ["opened"]
