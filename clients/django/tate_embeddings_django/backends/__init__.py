"""How `search_embeddings` finds neighbours: a module for each value of `EMBEDDINGS["BACKEND"]`.

`exact.py` compares all vectors in this process, `pgvector.py` lets PostgreSQL do it, `elasticsearch.py` asks an index.
"""
