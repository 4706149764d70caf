"""Text to token ids, equal to `open_clip`'s own tokenizer for every string, without torch."""

import html
import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import ftfy
import regex
import tokenizers

Cleaning = Literal["lower", "whitespace", "canonicalize"]

TOKENIZER_FILE = "tokenizer.json"

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _visible_bytes() -> list[str]:
    """A printable character for each byte: itself where it is one, else the next free one from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


VISIBLE_BYTES = _visible_bytes()


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


CLEANERS: dict[Cleaning, Callable[[str], str]] = {
    "lower": _lower,
    "whitespace": _single_spaced,
    "canonicalize": _canonical,
}


@dataclass(frozen=True)
class Tokens:
    """A text as the model reads it; `truncated` if it was longer than the model's context."""

    ids: list[int]
    truncated: bool


@dataclass(frozen=True)
class ClipTokenizer:
    """CLIP's byte-pair encoding: start token, the cleaned text's tokens, end token; cut at the context length."""

    model: tokenizers.models.BPE
    special: dict[str, int]
    start: int
    end: int
    context_length: int
    cleaning: Cleaning

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        table = json.loads((folder / TOKENIZER_FILE).read_text("utf-8"))
        merges = [tuple(merge) for merge in table.pop("merges")]
        model = tokenizers.models.BPE(table.pop("vocabulary"), merges, end_of_word_suffix="</w>")
        return cls(model=model, **table)

    def encode(self, text: str) -> Tokens:
        """The text's ids, never more than the context length, never padded."""
        ids = [self.start]
        for match in self._words.finditer(CLEANERS[self.cleaning](text)):
            ids.extend(self._word(match.group()))
            if len(ids) >= self.context_length:
                return Tokens([*ids[: self.context_length - 1], self.end], truncated=True)
        return Tokens([*ids, self.end], truncated=False)

    @cached_property
    def _words(self) -> "regex.Pattern[str]":
        words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
        return regex.compile("|".join([*self.special, words]), regex.IGNORECASE)

    def _word(self, word: str) -> list[int]:
        if word in self.special:
            return [self.special[word]]
        visible = "".join(VISIBLE_BYTES[byte] for byte in word.encode())
        return [token.id for token in self.model.tokenize(visible)]


def save(
    folder: Path,
    *,
    vocabulary: dict[str, int],
    merges: list[tuple[str, str]],
    special: dict[str, int],
    start: int,
    end: int,
    context_length: int,
    cleaning: Cleaning,
) -> None:
    """Write a tokenizer's tables for `ClipTokenizer.load`."""
    table = {
        "vocabulary": vocabulary,
        "merges": merges,
        "special": special,
        "start": start,
        "end": end,
        "context_length": context_length,
        "cleaning": cleaning,
    }
    (folder / TOKENIZER_FILE).write_text(json.dumps(table, ensure_ascii=False, separators=(",", ":")), "utf-8")
