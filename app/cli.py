"""The command line: parses, calls, prints."""

import argparse
import logging
import sys
from collections.abc import Sequence

from app import __version__
from app.config import Settings
from app.embeddings.engines.choice import choose
from app.embeddings.model import prepare
from app.errors import StartError
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
        logs.configure(settings.log_level, settings.log_format)
        status: int = options.run(settings)
    except StartError as error:
        print(f"tate-embeddings: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tate-embeddings", description="CLIP embeddings over HTTP.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="answer requests on HOST:PORT", description=_serve.__doc__)
    serve.add_argument("--workers", metavar="N", help="how many processes; the default is WORKERS")
    serve.set_defaults(run=_serve)
    preparing = commands.add_parser(
        "prepare", help="download and export the model, so that later starts need neither", description=_prepare.__doc__
    )
    preparing.set_defaults(run=_prepare)
    return parser


def _serve(settings: Settings) -> int:
    """Serve the model that MODEL_NAME and PRETRAINED name until a signal ends it."""
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
        lambda place, threads: create_app(settings, device_index=place % devices, threads=threads),
    ).run()
    return 0


def _prepare(settings: Settings) -> int:
    """Download the model that MODEL_NAME and PRETRAINED name and export it to MODEL_CACHE_DIR."""
    choose(settings)
    prepared = prepare(settings)
    print(f"prepared {prepared.manifest.architecture} / {prepared.manifest.pretrained} in {prepared.folder}")
    for precision, cosine in prepared.manifest.fidelity.items():
        print(f"  lowest cosine to open_clip in {precision}: {cosine:.7f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
