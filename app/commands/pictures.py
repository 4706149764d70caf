"""What computes the vectors of a catalogue's images: the model that the settings name, or a running service."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from app import __version__
from app.catalogue.embedding import CHANGED_ON_DISK, Compute, Unusable, described
from app.catalogue.journal import Picture
from app.commands.items import Item
from app.commands.local import LocalModel
from app.commands.outcomes import Embeds, Failed, Outcome
from app.commands.remote import RemoteService
from app.config import Settings
from app.embeddings.engines.choice import choose
from app.embeddings.model import prepare

# So many are sent to a service at once: enough for it to be busy, few enough that little is lost with a process.
WINDOW = 64


class Here:
    """The model that the settings name; it is loaded when there is something to compute."""

    def __init__(self, settings: Settings) -> None:
        """Find out which it is.

        Raises:
            ModelUnavailable: it can't be had.
        """
        choose(settings)
        self._settings = settings
        self._manifest = prepare(settings, thoroughly=False).manifest
        self.space = self._manifest.space
        self.dimensions = self._manifest.dimensions

    def describe(self) -> Mapping[str, Any]:
        return described(self._settings, self._manifest)

    @contextmanager
    def computing(self) -> Iterator[Compute]:
        with LocalModel(self._settings) as model:
            yield lambda images: _streamed(model, images)


class There:
    """The model of a running service."""

    def __init__(self, service: RemoteService) -> None:
        """Find out which it is.

        Raises:
            InstanceUnusable: the service can't be called, or doesn't know the token.
        """
        self._service = service
        sample = service.sample()
        self.space = sample.space
        self.dimensions = sample.dimensions
        self._named = {"model": sample.model, "pretrained": sample.pretrained}

    def describe(self) -> Mapping[str, Any]:
        return {**self._named, "versions": {"tate-embeddings": __version__}}

    @contextmanager
    def computing(self) -> Iterator[Compute]:
        yield lambda images: _computed(self._service, images)


def _streamed(model: LocalModel, images: Mapping[str, Path]) -> Iterator[Mapping[str, Picture | Unusable]]:
    digests = [*images]
    for outcomes in model.each_image(Item("file", str(path)) for path in images.values()):
        yield {digests[place]: _of(digests[place], outcome) for place, outcome in outcomes.items()}


def _computed(embeds: Embeds, images: Mapping[str, Path]) -> Iterator[Mapping[str, Picture | Unusable]]:
    waiting = iter(images.items())
    while window := dict(islice(waiting, WINDOW)):
        outcomes = embeds.images([Item("file", str(path)) for path in window.values()])
        yield {digest: _of(digest, outcome) for digest, outcome in zip(window, outcomes, strict=True)}


def _of(digest: str, outcome: Outcome) -> Picture | Unusable:
    if isinstance(outcome, Failed):
        return Unusable(outcome.code, outcome.detail)
    if outcome.about["sha256"] != digest:
        return CHANGED_ON_DISK
    return Picture(outcome.vector, outcome.about["width"], outcome.about["height"])
