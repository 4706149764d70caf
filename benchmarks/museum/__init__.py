"""A Django site with artworks at an image host, whose nights and searches `callers.py` measures."""
