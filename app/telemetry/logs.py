"""Structured logs: ours, uvicorn's and gunicorn's in one form.

What is said now and then goes through Python's `logging`. The line that every request writes goes from structlog
straight to standard error, at a fraction of the cost.
"""

import logging
import sys
from typing import Any, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from app.telemetry.tracebacks import described


def configure(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Send every log line to standard error as JSON, or for reading when a person watches (`auto`)."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    named: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ours: list[Processor]
    theirs: list[Processor]
    if console:
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=_on_lines_of_its_own)
        theirs = [renderer]
        ours = [renderer, _encoded]
    else:
        theirs = [structlog.processors.ExceptionRenderer(_as_text), structlog.processors.JSONRenderer()]
        ours = [structlog.processors.JSONRenderer(serializer=orjson.dumps)]
    stderr = sys.stderr.buffer
    structlog.configure(
        processors=[*named, *ours],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda name: structlog.BytesLogger(stderr, name=name),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, *named],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_insides, *theirs],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "gunicorn.error", "gunicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # A line per request is ours to write; these would write it again, httpx with the URL's query string and httpcore
    # with the headers of image hosts. faiss tells which libraries it tries.
    for name in ("uvicorn.access", "httpx", "httpx2", "httpcore", "faiss"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_insides(_: object, __: str, line: EventDict) -> EventDict:
    """What asyncio says of an exception is followed by what a task is made of, the exception's message included."""
    if line["logger"] == "asyncio":
        line["event"] = line["event"].partition("\n")[0]
    return line


def _encoded(_: object, __: str, line: Any) -> bytes:
    return str(line).encode()


def _as_text(exc_info: ExcInfo) -> str:
    return described(exc_info[1])


def _on_lines_of_its_own(stream: TextIO, exc_info: ExcInfo) -> None:
    stream.write("\n" + described(exc_info[1]))
