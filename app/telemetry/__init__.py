"""Logs and timings: what an operator sees of the service."""
