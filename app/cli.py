"""The command line: parses, calls, prints."""

import argparse
import functools
import logging
import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

from fastapi import FastAPI

from app import __version__
from app.commands import catalogue_arguments, search_arguments
from app.commands.catalogue import STAGES, catalogue, status
from app.commands.check import check
from app.commands.embed import embed, summary
from app.commands.instance import Instance
from app.commands.items import STDIN, Items
from app.commands.local import LocalModel
from app.commands.outcomes import Embeds
from app.commands.outputs import opened
from app.commands.remote import RemoteService
from app.commands.search import Place, Wanted, for_people, for_programs, search, suited
from app.config import Settings
from app.demo import service as demo
from app.demo.gallery import ARTWORKS, hang
from app.embeddings.engines.choice import choose
from app.embeddings.model import prepare
from app.errors import StartError
from app.gallery import service as gallery
from app.main import create_app
from app.resources import gpus
from app.serving.processes import Processes, count
from app.telemetry import logs

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.load(**({"workers": options.workers} if getattr(options, "workers", None) else {}))
        logs.configure(options.log_level or settings.log_level, settings.log_format)
        status: int = options.run(settings, options)
    except StartError as error:
        print(f"tate-embeddings: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the lines has seen enough; Python would complain of it when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tate-embeddings", description="CLIP embeddings over HTTP.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(log_level=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="answer requests on HOST:PORT", description=_serve.__doc__)
    serve.add_argument("--workers", metavar="N", help="how many processes; the default is WORKERS")
    serve.set_defaults(run=_serve)
    preparing = commands.add_parser(
        "prepare", help="download and export the model, so that later starts need neither", description=_prepare.__doc__
    )
    preparing.set_defaults(run=_prepare)
    demonstrating = commands.add_parser(
        "demo", help="paint a gallery and serve it on the bundled model", description=_demo.__doc__
    )
    demonstrating.add_argument("--artworks", type=_positive, default=ARTWORKS, metavar="N", help="how many to paint")
    demonstrating.add_argument("--dir", type=Path, help="where the gallery lies; the default is in MODEL_CACHE_DIR")
    demonstrating.set_defaults(run=_demo)
    showing = commands.add_parser(
        "gallery", help="the page where people search, alone, before a running service", description=_gallery.__doc__
    )
    showing.add_argument("--api", metavar="URL", help="the service; the default is VECTOR_API_URL")
    showing.set_defaults(run=_gallery)
    search_arguments.add(commands, _search)
    embedding = commands.add_parser("embed", help="texts, image files and URLs to vectors", description=_embed.__doc__)
    embedding.add_argument("items", nargs="*", metavar="ITEM", help="an image file, a folder of images, or a URL")
    embedding.add_argument("--text", action="append", default=[], help="a text; may be repeated")
    embedding.add_argument(
        "--texts-from", action="append", default=[], metavar="FILE", help=f"a text per line; {STDIN} is standard input"
    )
    embedding.add_argument(
        "--output", type=Path, metavar="FILE", help="*.jsonl or *.npy; without it, JSON lines on standard output"
    )
    embedding.add_argument("--service", metavar="URL", help="let a running service do it, not this machine")
    embedding.set_defaults(run=_embed)
    catalogue_arguments.add(commands, _catalogue)
    checking = commands.add_parser("check", help="call every route of a live instance once", description=_check.__doc__)
    checking.add_argument("url", metavar="URL", help="where it is, such as https://embeddings.example.org")
    checking.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="how long to wait for it, and for each answer"
    )
    checking.add_argument("--image-url", metavar="URL", help="where it can fetch an image from, to have that tried too")
    checking.set_defaults(run=_check)
    for command in (embedding, checking):
        command.add_argument("--token", help="a token of the service; the default is the first of AUTH_TOKEN")
        command.set_defaults(log_level="WARNING")  # what they find is all that is to be read
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds


def _serve(settings: Settings, _: argparse.Namespace) -> int:
    """Serve the model that MODEL_NAME and PRETRAINED name until a signal ends it."""
    _run(settings, lambda app: app)
    return 0


def _run(settings: Settings, finish: Callable[[FastAPI], FastAPI]) -> None:
    create_app(settings)  # a missing token should stop the start here, and not in every worker
    choice = choose(settings)
    prepare(settings, thoroughly=False)
    settings = settings.model_copy(update={"engine": choice.engine, "device": choice.device})
    workers = count(settings, choice)
    devices = gpus() if choice.device == "cuda" else 1
    logger.info("starting %d worker(s), %s on %s", workers, choice.engine, choice.device)
    Processes(
        settings,
        workers,
        lambda place, threads: finish(
            create_app(settings, device_index=place % devices, threads=threads, workers=workers)
        ),
    ).run()


def _prepare(settings: Settings, _: argparse.Namespace) -> int:
    """Download the model that MODEL_NAME and PRETRAINED name and export it to MODEL_CACHE_DIR."""
    choose(settings)
    prepared = prepare(settings)
    print(f"prepared {prepared.manifest.architecture} / {prepared.manifest.pretrained} in {prepared.folder}")
    for precision, cosine in prepared.manifest.fidelity.items():
        print(f"  lowest cosine to open_clip in {precision}: {cosine:.7f}")
    return 0


def _demo(_: Settings, options: argparse.Namespace) -> int:
    """Paint a gallery of artworks, once, and serve it on the bundled model, on loopback, until a signal ends it."""
    settings = demo.demonstrating(options.dir)
    folder = options.dir or demo.folder_of(settings)
    hang(settings, folder, options.artworks, _painted if sys.stdout.isatty() else lambda *_: None)
    searching = shlex.join([sys.argv[0], "search", "a lighthouse", "--dir", str(folder)])
    print(demo.instructions(settings, folder, searching), flush=True)
    _run(settings, lambda app: demo.with_pictures(app, folder))
    return 0


def _gallery(settings: Settings, options: argparse.Namespace) -> int:
    """Serve the page where people search on HOST:PORT, before a running service that has an index."""
    gallery.serve(settings, options.api or settings.vector_api_url)
    return 0


def _painted(done: int, count: int) -> None:
    print(f"\r  painting: {done} of {count}", end="\n" if done == count else "", flush=True)


def _search(settings: Settings, options: argparse.Namespace) -> int:
    """Show what is nearest to words or to an image in the index of DIR, of INDEX_URL, or else of the demonstration."""
    wanted = Wanted.of(options.query, options.image, options.filter, options.k, options.min_score)
    place = Place.of(options.dir, settings.index_url, demo.folder_of(settings))
    found = search(place, wanted, lambda space: _embedding(suited(settings, place, space), options))
    for each in found:
        print(for_programs(each) if options.json else for_people(each, place.folder), flush=True)
    if not found:
        print("nothing was found", file=sys.stderr)
    return 0


def _embed(settings: Settings, options: argparse.Namespace) -> int:
    """Embed images (ITEMs), then texts, in this order: a JSON line for each, or a row of a .npy file."""
    watched = sys.stderr.isatty() and (options.output or not sys.stdout.isatty())
    with (
        Items(options.items, options.text, options.texts_from) as items,
        opened(options.output) as output,
        _embedding(settings, options) as by,
    ):
        tally = embed(items, by, output, _done if watched else lambda _: None)
    if watched:
        print(file=sys.stderr)
    failures = summary(tally)
    if failures:
        print(f"tate-embeddings: {failures}", file=sys.stderr)
    return 1 if failures else 0


def _catalogue(settings: Settings, options: argparse.Namespace) -> int:
    """Keep vectors of a list of images. Every stage can be stopped anywhere, and goes on from there."""
    say = functools.partial(print, flush=True)
    if options.stage not in STAGES:
        return 0 if status(settings, options, say) else 1
    return 0 if catalogue(settings, options, _token(settings, options), say) else 1


def _done(count: int) -> None:
    print(f"\r  embedding: {count} done ", end="", file=sys.stderr, flush=True)


def _check(settings: Settings, options: argparse.Namespace) -> int:
    """Call every route of a live instance once, with what it takes and what it must refuse, and say what surprises."""
    with closing(Instance(options.url, _token(settings, options), options.timeout)) as instance:
        return 0 if check(instance, options.image_url, functools.partial(print, flush=True)) else 1


def _token(settings: Settings, options: argparse.Namespace) -> str:
    return options.token or next(iter(settings.auth_token), "")


def _embedding(settings: Settings, options: argparse.Namespace) -> AbstractContextManager[Embeds]:
    """What embeds: the service that was named, or else the model that the settings name, in this process."""
    if options.service:
        return RemoteService(options.service, _token(settings, options), settings)
    return LocalModel(settings)


if __name__ == "__main__":
    sys.exit(main())
