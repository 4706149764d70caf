"""Structured logs: ours, uvicorn's and gunicorn's in one form.

What is said now and then goes through Python's `logging`. The line that every request writes goes from structlog
straight to standard error, at a fraction of the cost.
"""

import logging
import sys
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import Processor


def configure(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Send every log line to standard error as JSON, or for reading when a person watches (`auto`)."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    described: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ours: list[Processor]
    theirs: list[Processor]
    if console:
        theirs = [structlog.dev.ConsoleRenderer()]
        ours = [*theirs, _encoded]
    else:
        theirs = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        ours = [structlog.processors.JSONRenderer(serializer=orjson.dumps)]
    stderr = sys.stderr.buffer
    structlog.configure(
        processors=[*described, *ours],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda name: structlog.BytesLogger(stderr, name=name),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, *described],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *theirs],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # A line per request is ours to write; these would write it again, httpx with the URL's query string and httpcore
    # with the headers of image hosts.
    for name in ("uvicorn.access", "httpx", "httpx2", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _encoded(_: object, __: str, line: Any) -> bytes:
    return str(line).encode()
