"""Text to token ids, equal to `open_clip`'s own tokenizers for every string, without torch: CLIP's here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, Self

import regex
import tokenizers

from app.embeddings.cleaning import CLEANERS, Cleaning
from app.errors import InvalidRequest

TOKENIZER_FILE = "tokenizer.json"


def _visible_bytes() -> list[str]:
    """A printable character for each byte: itself where it is one, else the next free one from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


VISIBLE_BYTES = _visible_bytes()


@dataclass(frozen=True)
class Tokens:
    """A text as the model reads it; `truncated` if it was longer than the model's context."""

    ids: list[int]
    truncated: bool


class Tokenizer(Protocol):
    """What a model reads text with."""

    @property
    def padding(self) -> int:
        """The id that fills a row up."""

    def encode(self, text: str) -> Tokens:
        """The text's ids, never more than the context length, never padded."""

    def accept(self, ids: Sequence[int]) -> Tokens:
        """Ids that a caller has made with this tokenizer, as `encode` would have given them.

        Raises:
            InvalidRequest: they aren't this tokenizer's, or none of them stands for a text.
        """


@dataclass(frozen=True)
class Frame:
    """What surrounds every text: ids before and after it, padding, and a length that isn't exceeded."""

    start: Sequence[int]
    end: Sequence[int]
    padding: int
    context_length: int

    def around(self, content: Sequence[int]) -> Tokens:
        """A text's own ids with what surrounds them, cut if need be."""
        room = self.context_length - len(self.start) - len(self.end)
        return Tokens([*self.start, *content[:room], *self.end], truncated=len(content) > room)

    def within(self, ids: Sequence[int], vocabulary_size: int) -> list[int]:
        """A text's own ids among those that a caller sent, with or without what surrounds them.

        Raises:
            InvalidRequest: one is out of the vocabulary, or nothing is left.
        """
        if not all(0 <= number < vocabulary_size for number in ids):
            raise InvalidRequest(f"Token ids must be this model's own, from 0 to {vocabulary_size - 1}.")
        start, end = len(self.start), len(self.end)
        content = list(ids)
        while content and content[-1] == self.padding:
            content.pop()
        if content[:start] == list(self.start):
            del content[:start]
        if end and content[-end:] == list(self.end):
            del content[-end:]
        if not content:
            raise InvalidRequest("Token ids must be those of a text; these are only what surrounds one.")
        return content


@dataclass(frozen=True)
class ClipTokenizer:
    """CLIP's byte-pair encoding: start token, the cleaned text's tokens, end token; cut at the context length."""

    model: tokenizers.models.BPE
    special: dict[str, int]
    start: int
    end: int
    context_length: int
    cleaning: Cleaning
    vocabulary_size: int

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        table = json.loads((folder / TOKENIZER_FILE).read_text("utf-8"))
        merges = [tuple(merge) for merge in table.pop("merges")]
        vocabulary = table.pop("vocabulary")
        model = tokenizers.models.BPE(vocabulary, merges, end_of_word_suffix="</w>")
        return cls(model=model, vocabulary_size=len(vocabulary), **table)

    @property
    def padding(self) -> int:
        return 0

    def encode(self, text: str) -> Tokens:
        ids: list[int] = []
        for match in self._words.finditer(CLEANERS[self.cleaning](text)):
            ids.extend(self._word(match.group()))
            if len(ids) >= self.context_length:  # whatever follows is cut away
                break
        return self._frame.around(ids)

    def accept(self, ids: Sequence[int]) -> Tokens:
        return self._frame.around(self._frame.within(ids, self.vocabulary_size))

    @cached_property
    def _frame(self) -> Frame:
        return Frame([self.start], [self.end], self.padding, self.context_length)

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
