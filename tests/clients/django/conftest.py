"""A site, its database, and services for it: in this process, behind a socket, or none."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connections
from django.test.utils import override_settings

from tate_embeddings_client import AsyncClient, Client
from tate_embeddings_client.testing import AsyncFakeClient, FakeClient
from tate_embeddings_django import flight, service, vector_index
from tate_embeddings_django.backends import exact
from tests.clients.django.gallery.models import Artwork, Poster, Room, Scan, Tag
from tests.clients.python.service import Loopback, Respond, Service
from tests.conftest import TOKEN

SPACE = "fake"
MODELS = ["gallery.Artwork"]


@pytest.fixture(scope="session", autouse=True)
def _tables() -> Iterator[None]:
    call_command("migrate", run_syncdb=True, verbosity=0)
    yield
    connections.close_all()


@pytest.fixture(autouse=True)
def _nothing_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("EMBEDDINGS_SERVICE_URL", "EMBEDDINGS_SERVICE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield
    for model in (Tag, Artwork, Room, Scan, Poster):
        model._default_manager.all().delete()
    cache.clear()
    exact._kept.clear()
    service.forget()
    vector_index.forget()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tate_embeddings_client.calls.WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(flight, "PAUSE_S", 0.001)
    monkeypatch.setattr(service, "PAUSE_S", 0.001)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Changes `EMBEDDINGS`, which begins with the address of a service that isn't there, and other settings."""
    changed: list[override_settings] = []
    embeddings: dict[str, Any] = {"SERVICE_URL": "http://embeddings.invalid", "SERVICE_TOKEN": TOKEN, "MODELS": MODELS}

    def change(settings: dict[str, Any] | None = None, /, **keys: Any) -> None:
        embeddings.update(keys)
        changed.append(override_settings(EMBEDDINGS=dict(embeddings), **(settings or {})))
        changed[-1].enable()

    change({"MEDIA_ROOT": str(tmp_path / "media")})
    yield change
    for each in reversed(changed):
        each.disable()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, site: Callable[..., None]) -> "Fakes":
    """Clients without a service; what they are asked for fails as `failures` says."""
    fakes = Fakes()
    monkeypatch.setattr(service, "Client", lambda *_, **__: fakes.blocking)
    monkeypatch.setattr("tate_embeddings_django.management.commands.update_embeddings.AsyncClient", fakes.awaiting)
    return fakes


class Fakes:
    """The clients of the package's own `testing`."""

    def __init__(self) -> None:
        self.failures: dict[Any, Any] = {}
        self.dimensions = 512
        self.space = SPACE
        self.asked: list[list[Any]] = []
        self.before: Callable[[list[Any]], None] = lambda images: None

    @property
    def blocking(self) -> Client:
        return FakeClient(dimensions=self.dimensions, space=self.space, failures=self.failures)

    def awaiting(self, *_: Any, **__: Any) -> AsyncClient:
        fakes = self

        class Watched(AsyncFakeClient):
            async def embed_images(self, images: Any) -> Any:
                fakes.asked.append(list(images))
                await asyncio.to_thread(fakes.before, list(images))
                return await super().embed_images(images)

        return Watched(dimensions=self.dimensions, space=self.space, failures=self.failures)


@pytest.fixture
def served(loopback: Callable[[Respond], Loopback], site: Callable[..., None]) -> Service:
    """A service behind a socket, which the site knows."""
    answering = Service()
    site(SERVICE_URL=loopback(answering).address)
    return answering


def artworks(count: int, **values: Any) -> list[Artwork]:
    """Rows with a picture each, which a host has."""
    return [Artwork.objects.create(image=f"{number}.jpg", **values) for number in range(count)]


def url(number: int | str) -> str:
    """Where the picture of one of these is."""
    return f"https://media.example.org/{number}.jpg"


def update(*arguments: str, **options: Any) -> str:
    """What `update_embeddings` prints."""
    out = StringIO()
    call_command("update_embeddings", *arguments, stdout=out, stderr=out, **options)
    return out.getvalue()


@contextmanager
def queries(using: str = "default") -> Iterator[list[str]]:
    """The SQL that is executed meanwhile."""
    seen: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    with connections[using].execute_wrapper(note):
        yield seen
