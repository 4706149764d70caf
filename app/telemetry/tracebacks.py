"""Exceptions as the log may show them: where they came from, and never what a caller has sent.

Many messages quote the value that was at fault: pydantic's, JSON's, `KeyError`, `UnicodeDecodeError`. Only those are
shown whose messages are of the machine, or of our own making.
"""

import traceback

import httpx

from app.errors import ServiceError

OF_THE_MACHINE = (
    OSError,
    MemoryError,
    ArithmeticError,
    RuntimeError,  # engines raise it too
    AssertionError,
    AttributeError,
    TypeError,
    ImportError,
    httpx.NetworkError,
    httpx.TimeoutException,
)
OURS = "app."
CAUSED = "The above exception was the direct cause of the following exception:"
MEANWHILE = "During handling of the above exception, another exception occurred:"


def named(error: BaseException) -> str:
    """An exception's name, and its message where that can quote nothing."""
    name = type(error).__name__
    text = str(error)
    return f"{name}: {text}" if text and _quotes_nothing(error) else name


def described(error: BaseException) -> str:
    """An exception with where it came from, and those that led to it."""
    parts = []
    if error.__cause__ is not None:
        parts += [described(error.__cause__), CAUSED]
    elif error.__context__ is not None and not error.__suppress_context__:
        parts += [described(error.__context__), MEANWHILE]
    frames = "".join(traceback.format_tb(error.__traceback__))
    parts.append(f"Traceback (most recent call last):\n{frames}{named(error)}")
    return "\n\n".join(parts)


def _quotes_nothing(error: BaseException) -> bool:
    if isinstance(error, ServiceError):  # the names of fields are callers' own
        return False
    return isinstance(error, OF_THE_MACHINE) or type(error).__module__.startswith(OURS)
