"""Vectors for the rows that need one, for the night: `manage.py update_embeddings`."""

import signal
import sys
import threading
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from tate_embeddings_client import AsyncClient, EmbeddingsError
from tate_embeddings_django import conf, service
from tate_embeddings_django.flight import Flight
from tate_embeddings_django.management.failures import explained
from tate_embeddings_django.models import ImageVectorMixin, searchable
from tate_embeddings_django.progress import Progress
from tate_embeddings_django.updating import Tally, Update, WrongDimensions

BATCH_SIZE = 64
CONCURRENCY = 2
# What the service takes in one request.
MOST_IN_BATCH = 256
# Of so many rows that failed the command says which; of the rest how many, unless it's asked for more (`-v 2`).
NAMED = 10


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends the command as Ctrl-C does."""


class Command(BaseCommand):
    """`manage.py update_embeddings`."""

    help = (
        "Makes vectors for the rows that have none, or one of another model or of another picture. What is made is "
        "saved batch by batch; it may be interrupted, and run again, at any time."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", action="append", metavar="app.Model", help="only this one; may be repeated")
        parser.add_argument("--limit", type=_number, metavar="N", help="stop after so many rows that needed a vector")
        parser.add_argument("--batch-size", type=_number, default=BATCH_SIZE, metavar="N", help="pictures in a request")
        parser.add_argument("--force", action="store_true", help="make all vectors anew, and try what failed for good")
        parser.add_argument("--dry-run", action="store_true", help="only say what there is to do")
        parser.add_argument("--concurrency", type=_number, default=CONCURRENCY, metavar="N", help="requests at once")

    def handle(self, *_: Any, **options: Any) -> None:
        if not conf.current().service_url:
            self.stdout.write("Embeddings are switched off: SERVICE_URL isn't set. Nothing to do.")
            return
        if options["batch_size"] > MOST_IN_BATCH:
            raise CommandError(f"--batch-size is {MOST_IN_BATCH} at most: the service takes no more at once.")
        failed: Counter[str] = Counter()
        try:
            with _terminating():
                space = service.current_space()
                left = options["limit"]
                for model in searchable(options["model"]):
                    tally = self._update(model, space, options | {"limit": left})
                    left = None if left is None else left - tally.chosen.total()
                    failed += tally.failed
        except KeyboardInterrupt as stopped:
            self.stderr.write("Stopped. What was saved stands; the next run goes on from there.")
            sys.exit(128 + (signal.SIGTERM if isinstance(stopped, Terminated) else signal.SIGINT))
        except (EmbeddingsError, service.NotReady, WrongDimensions, ImproperlyConfigured) as error:
            raise CommandError(explained(error)) from error
        except OperationalError as error:  # it is locked, or gone
            raise CommandError(f"The database doesn't do it: {error}") from error
        if failed and not options["dry_run"]:
            raise CommandError(
                f"{failed.total():,} rows failed. Those that may go well another time are tried again by the next "
                "run, the others when their picture changes, or with --force."
            )

    def _update(self, model: type[ImageVectorMixin], space: str, options: dict[str, Any]) -> Tally:
        """Bring one model up to date, and say so."""
        progress = Progress(self.stdout, quiet=options["verbosity"] == 0)
        label, began_at = model._meta.label, time.monotonic()

        def failed(key: Any, code: str, detail: str) -> None:
            if update.tally.failed.total() <= NAMED or options["verbosity"] > 1:
                progress.say(f"{label} {key}: {code}: {detail}")

        def told() -> None:
            progress.show(lambda: f"{label}: {_how_far(update.tally, rows)}")

        update = Update(model, space, force=options["force"], failed=failed)
        rows = model._default_manager.count()
        try:
            if options["dry_run"]:
                update.look(options["limit"], told)
            else:
                self._run(update, space, options, told)
        finally:
            summary = _to_do(update.tally) if options["dry_run"] else _done(update.tally)
            progress.say(f"{label}: {summary}; {time.monotonic() - began_at:.1f} s")
        return update.tally

    def _run(self, update: Update, space: str, options: dict[str, Any], told: Any) -> None:
        now = conf.current()
        client = AsyncClient(now.service_url, now.service_token, timeout_s=now.embed_timeout_s, space=space)
        with Flight(client, now.embed_timeout_s) as flight:
            update.run(
                flight,
                limit=options["limit"],
                batch_size=options["batch_size"],
                concurrency=options["concurrency"],
                told=told,
            )


@contextmanager
def _terminating() -> Iterator[None]:
    """SIGTERM is as Ctrl-C meanwhile. Signals are the main thread's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(*_: Any) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("it is 1 at least")
    return number


def _how_far(tally: Tally, rows: int) -> str:
    failed = f", {tally.failed.total():,} failed" if tally.failed else ""
    return f"{tally.seen:,} of {rows:,} rows, {tally.made:,} vectors made{failed}"


def _to_do(tally: Tally) -> str:
    return f"{tally.seen:,} rows, {tally.chosen.total():,} to do{_counted(tally.chosen)}, {_rest(tally)}"


def _done(tally: Tally) -> str:
    meanwhile = f", {tally.changed_meanwhile:,} changed meanwhile" if tally.changed_meanwhile else ""
    return (
        f"{tally.seen:,} rows, {tally.made:,} vectors made, "
        f"{tally.failed.total():,} failed{_counted(tally.failed)}{meanwhile}, {_rest(tally)}"
    )


def _rest(tally: Tally) -> str:
    given_up = f", {tally.given_up:,} that failed before" if tally.given_up else ""
    without = f", {tally.without_picture:,} without a picture" if tally.without_picture else ""
    return f"{tally.unchanged:,} as they should be{given_up}{without}"


def _counted(counter: "Counter[str]") -> str:
    return f" ({', '.join(f'{count:,} {name}' for name, count in counter.most_common())})" if counter else ""
