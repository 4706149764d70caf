"""The words of `tate-embeddings search`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from app.search.store import DEEPEST


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", run: Callable[..., int]) -> None:
    """Add the command, which `run` does, to those of the command line."""
    parser = commands.add_parser(
        "search",
        help="what of an index is nearest to words or to an image",
        description=run.__doc__,
        epilog="An index of the demonstration's model is searched with that model, every other with the one that "
        "MODEL_NAME and PRETRAINED name.",
    )
    parser.add_argument("query", nargs="?", metavar="QUERY", help="words to look for")
    parser.add_argument("--image", metavar="FILE|URL", help="an image to look for, instead of words")
    parser.add_argument("-k", type=_count, default=5, metavar="N", help="how many to show; the default is 5")
    parser.add_argument(
        "--filter", metavar="JSON", help="what must be so of their metadata, as /search takes it: {field: value, …}"
    )
    parser.add_argument("--min-score", type=_cosine, metavar="X", help="the lowest cosine that still counts")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each, as /search gives them")
    parser.add_argument("--dir", type=Path, help="the folder of a catalogue, whose index is to be searched")
    parser.add_argument("--service", metavar="URL", help="let a running service embed, not this machine")
    parser.add_argument("--token", help="a token of the service; the default is the first of AUTH_TOKEN")
    parser.set_defaults(run=run, log_level="WARNING")  # what is found is all that is to be read


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= DEEPEST:
        raise argparse.ArgumentTypeError(f"must be from 1 to {DEEPEST}")
    return number


def _cosine(text: str) -> float:
    number = float(text)
    if not -1 <= number <= 1:
        raise argparse.ArgumentTypeError("must be from -1 to 1")
    return number
