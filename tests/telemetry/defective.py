"""`serve`, but with a defect: some texts raise what quotes them. Run as `python -m tests.telemetry.defective serve`."""

import sys
import warnings
from unittest import mock

from app import cli
from app.embeddings import EmbeddingModel
from app.embeddings.tokenizer import Tokens

tokenize = EmbeddingModel.tokenize


def quote(model: EmbeddingModel, text: str) -> Tokens:
    if text.startswith("odd"):
        warnings.warn("something is odd", stacklevel=1)
    if text.startswith("bad value"):
        raise ValueError(f"{text} is no value")
    if text.startswith("bad key"):
        try:
            dict[str, None]()[text]
        except KeyError as error:
            raise RuntimeError("the engine broke") from error
    return tokenize(model, text)


if __name__ == "__main__":
    with mock.patch.object(EmbeddingModel, "tokenize", quote):
        sys.exit(cli.main())
