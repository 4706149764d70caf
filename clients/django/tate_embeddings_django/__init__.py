"""Search by meaning for Django: vectors of a model's pictures, kept up to date, and what is nearest to a text."""

__version__ = "0.1.0"
