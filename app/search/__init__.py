"""Vectors by id, and the ones nearest to another: one small protocol (`store.py`), and what stands behind it."""
