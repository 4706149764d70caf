"""The site of a small museum: what a project does with `tate_embeddings_django`."""
