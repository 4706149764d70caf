"""What is done to a text before it is tokenised, as `open_clip` does it."""

import html
import string
from collections.abc import Callable
from typing import Literal

import ftfy

Cleaning = Literal["lower", "whitespace", "canonicalize", "none"]

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _repaired(text: str) -> str:
    """Mojibake mended, HTML entities resolved (twice: they are often escaped twice)."""
    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def _single_spaced(text: str) -> str:
    return " ".join(_repaired(text).split())


def _lower(text: str) -> str:
    return _single_spaced(text).lower()


def _canonical(text: str) -> str:
    text = _repaired(text).replace("_", " ").translate(_WITHOUT_PUNCTUATION).lower()
    return " ".join(text.split())


def _without_surrogates(text: str) -> str:
    """As it is, but for halves of characters, which no tokenizer takes; `ftfy` mends them likewise."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


CLEANERS: dict[Cleaning, Callable[[str], str]] = {
    "lower": _lower,
    "whitespace": _single_spaced,
    "canonicalize": _canonical,
    "none": _without_surrogates,
}
