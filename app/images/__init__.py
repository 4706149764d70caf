"""URL or bytes to a checked picture."""
