"""A real service whose engine does what files in its working directory say: `hang`, or fail while it is `broken`."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from app import cli
from app.embeddings import EmbeddingModel
from app.embeddings.engines import Vectors


class Troubled(EmbeddingModel):
    """The usual model, until there is trouble."""

    def embed_tokens(self, rows: Sequence[Sequence[int]]) -> Vectors:
        if Path("hang").exists():
            Path("hang").unlink()
            threading.Event().wait()
        if Path("broken").exists():
            raise RuntimeError("the engine is broken")
        return super().embed_tokens(rows)


if __name__ == "__main__":
    with mock.patch("app.main.EmbeddingModel", Troubled):
        sys.exit(cli.main(["serve", *sys.argv[1:]]))
