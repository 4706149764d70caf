"""The words of `tate-embeddings catalogue`."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

from app.catalogue.lists import STDIN, Shard

DOWNLOAD, EMBED, INDEX, RUN, STATUS = "download", "embed", "index", "run", "status"
# The `--runner` that isn't this process.
RAY = "ray"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", run: Callable[..., int]) -> None:
    """Add the command, which `run` does, to those of the command line."""
    cataloguing = commands.add_parser(
        "catalogue", help="a list of images to files and an index, night for night", description=run.__doc__
    )
    stages = cataloguing.add_subparsers(required=True, metavar="STAGE", dest="stage")
    meanings = {
        DOWNLOAD: "fetch the images of a list: those that are new or may have changed",
        EMBED: "compute the vectors of images that are new or have changed",
        INDEX: "bring the index in INDEX_URL, or else the one in DIR, to what was embedded",
        RUN: "download, embed and index",
        STATUS: "say how a catalogue is",
    }
    for stage, meaning in meanings.items():
        parser = stages.add_parser(stage, help=meaning, description=f"{meaning.capitalize()}.")
        parser.add_argument(
            "list",
            nargs="?" if stage == STATUS else None,
            metavar="LIST",
            help=f"a URL per line, or *.csv, *.jsonl, *.parquet with url, id and what else; {STDIN}: standard input",
        )
        parser.add_argument("--dir", type=Path, required=True, help="where the catalogue lies")
        parser.add_argument("--images-dir", type=Path, metavar="DIR", help="where images lie, if elsewhere")
        parser.add_argument(
            "--output-dir", type=Path, metavar="DIR", help="where vectors and the index lie, if elsewhere"
        )
        parser.add_argument("--manifest-path", type=Path, metavar="FILE", help="where the manifest lies, if elsewhere")
        parser.add_argument("--shard", type=_shard, metavar="I/N", help="only the Ith of N parts of the list")
        parser.set_defaults(run=run, log_level="WARNING" if sys.stderr.isatty() else None)
        parser.set_defaults(service=None, token=None, prune=False, rebuild=False, without=None)
        if stage == STATUS:
            parser.add_argument(
                "--healthy", choices=(DOWNLOAD, EMBED, INDEX, RUN),
                help="only whether the last run of that command is at work, or went through and isn't overdue",
            )  # fmt: skip
        else:
            parser.add_argument(
                "--every", type=_span, metavar="TIME", help="do it again so long after each run, until a signal ends it"
            )
        if stage == RUN:
            parser.add_argument("--without", choices=(DOWNLOAD,), help="leave a stage to another command")
        if stage in (DOWNLOAD, RUN):
            parser.add_argument(
                "--max-age", type=_span, default=_span("7d"), metavar="AGE",
                help="what was asked for within it isn't asked for again, such as 12h; the default is 7d",
            )  # fmt: skip
            parser.add_argument("--retry-dead", action="store_true", help="ask again for what failed for good")
        if stage in (EMBED, RUN):
            computing = parser.add_mutually_exclusive_group()
            computing.add_argument("--service", metavar="URL", help="let a running service compute, not this machine")
            computing.add_argument(
                "--runner", choices=("local", RAY), default="local",
                help=f"{RAY}: let the cluster of RAY_ADDRESS compute, or else a Ray of this machine's own",
            )  # fmt: skip
            parser.add_argument("--token", help="a token of the service; the default is the first of AUTH_TOKEN")
        if stage in (INDEX, RUN):
            parser.add_argument("--prune", action="store_true", help="remove what is gone from the list")
            parser.add_argument("--rebuild", action="store_true", help="make the index anew, for another model")


def _span(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    try:
        seconds = float(text[:-1]) * units[text[-1:]] if text[-1:] in units else float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError("must be a time such as 30m, 12h or 7d")
    return seconds


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
