"""What the client's tests share: both clients called alike, and time that passes only while somebody waits."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tate_embeddings_client import AsyncClient, Client
from tate_embeddings_client.clock import Clock
from tests.clients.python.service import Respond, Service
from tests.conftest import TOKEN

TODAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
ADDRESS = "http://embeddings.example.org"


@dataclass
class Hours:
    """A clock that goes only while somebody waits, and chance that always says the same."""

    chance: float = 1.0
    time: float = 0.0
    waits: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)

    @property
    def clock(self) -> Clock:
        return Clock(
            now=lambda: self.time,
            date=lambda: TODAY.timestamp() + self.time,
            sleep=self.sleep,
            sleep_async=self.sleep_async,
            chance=lambda: self.chance,
        )


class Caller:
    """One of the two clients, new for each call unless calls are made `together`."""

    def __init__(self, kind: type[Client] | type[AsyncClient]) -> None:
        self.kind = kind

    def call(self, service: Respond | str, method: str, *arguments: Any, **options: Any) -> Any:
        """What one call comes to, at a service in this process or at an address."""
        return self.together(service, (method, *arguments), **options)[0]

    def together(self, service: Respond | str, *calls: tuple[Any, ...], **options: Any) -> list[Any]:
        """What calls of one client come to, one after the other."""
        if not isinstance(service, str):
            options["transport"] = httpx.MockTransport(service)
        address = service if isinstance(service, str) else ADDRESS
        if self.kind is Client:
            with Client(address, TOKEN, **options) as client:
                return [getattr(client, method)(*arguments) for method, *arguments in calls]

        async def call() -> list[Any]:
            async with AsyncClient(address, TOKEN, **options) as client:
                return [await getattr(client, method)(*arguments) for method, *arguments in calls]

        return asyncio.run(call())


@pytest.fixture(params=[Client, AsyncClient])
def caller(request: pytest.FixtureRequest) -> Caller:
    """Each of the two clients in turn."""
    return Caller(request.param)


@pytest.fixture
def service() -> Service:
    """A service in this process."""
    return Service()
