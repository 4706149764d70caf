"""Text to token ids with a tokenizer that the `tokenizers` library reads: those of XLM-R, SigLIP and their like."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import tokenizers

from app.embeddings.cleaning import CLEANERS, Cleaning
from app.embeddings.tokenizer import TOKENIZER_FILE, Frame, Tokens

FAST_TOKENIZER_FILE = "fast_tokenizer.json"


@dataclass(frozen=True)
class FastTokenizer:
    """A tokenizer of the library's, and what `open_clip` does around it."""

    model: tokenizers.Tokenizer
    frame: Frame
    cleaning: Cleaning
    vocabulary_size: int
    # The id that `open_clip` takes out of every row, zero in its place, if it does so.
    zeroed: int | None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        table = json.loads((folder / TOKENIZER_FILE).read_text("utf-8"))
        model = tokenizers.Tokenizer.from_file(str(folder / FAST_TOKENIZER_FILE))
        return cls(model=model, frame=Frame(**table.pop("frame")), **table)

    @property
    def padding(self) -> int:
        return self.frame.padding

    def encode(self, text: str) -> Tokens:
        encoded = self.model.encode(CLEANERS[self.cleaning](text), add_special_tokens=False)
        return self.frame.around(self._zeroed(encoded.ids))

    def accept(self, ids: Sequence[int]) -> Tokens:
        return self.frame.around(self.frame.within(self._zeroed(ids), self.vocabulary_size))

    def _zeroed(self, ids: Sequence[int]) -> Sequence[int]:
        return ids if self.zeroed is None else [0 if number == self.zeroed else number for number in ids]


def save(folder: Path, model: str, table: dict[str, object]) -> None:
    """Write a tokenizer for `FastTokenizer.load`: the library's own form of it, and the other fields as a table."""
    (folder / FAST_TOKENIZER_FILE).write_text(model, "utf-8")
    (folder / TOKENIZER_FILE).write_text(json.dumps(table), "utf-8")
