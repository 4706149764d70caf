"""A name server, a dialler and a clock of the tests' own: nothing leaves loopback, also where the guard is broken."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import httpcore
import pytest
from app.config import Settings
from app.images.budget import Take
from app.images.fetch import Fetcher
from app.images.retries import Clock

from tests.images.hosts import Host

PUBLIC = "93.184.216.34"


class Names(dict[str, list[str]]):
    """Names and the addresses that look-ups of them give; `later` replaces entries after the first look-up."""

    def __init__(self) -> None:
        super().__init__()
        self.later: dict[str, list[str]] = {}
        self.of_every_name: list[str] | None = None
        self.asked: list[str] = []

    def answer(self, host: str, port: int) -> list[Any]:
        """What `getaddrinfo` gives. An address is itself and no look-up."""
        if _is_address(host):
            return [_entry(host, port)]
        self.asked.append(host)
        addresses = self.get(host, self.of_every_name)
        if addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        entries = [_entry(address, port) for address in addresses]
        self.update(self.later)
        return entries


class Dialler:
    """Stands beneath the guard and records what it lets through; opens sockets to loopback alone.

    `routes` leads addresses to ports of loopback where a test has a host of its own.
    """

    def __init__(self) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.routes: dict[str, int] = {}


@pytest.fixture
def host() -> Iterator[Host]:
    """An image host."""
    host = Host()
    yield host
    host.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """A name server of the test's own: names to addresses, nothing else resolves."""
    table = Names()

    async def getaddrinfo(_: Any, host: str, port: int, **__: Any) -> Any:
        return table.answer(host, port)

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return table


@pytest.fixture
def dialler(monkeypatch: pytest.MonkeyPatch) -> Dialler:
    """What the guard lets through."""
    dialler = Dialler()
    connect = httpcore.AnyIOBackend.connect_tcp

    async def dial(backend: Any, address: str, port: int, *rest: Any) -> Any:
        dialler.dialled.append((address, port))
        if address in dialler.routes:
            return await connect(backend, "127.0.0.1", dialler.routes[address], *rest)
        if not ip_address(address).is_loopback:
            raise httpcore.ConnectError("beyond loopback")
        return await connect(backend, address, port, *rest)

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", dial)
    return dialler


@pytest.fixture
def _doors_of_this_machine() -> Iterator[None]:
    """Listeners where a request to this machine would arrive, if they can be had; nobody may have knocked."""
    doors = []
    for port in (80, 443):
        try:
            doors.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
    yield
    for door in doors:
        door.setblocking(False)
        with door, pytest.raises(BlockingIOError):
            door.accept()


def fetch(url: str, clock: Clock | None = None, take: Take = lambda _: None, **changes: Any) -> bytes:
    """One fetch with its own fetcher; loopback is allowed unless a test says otherwise."""

    async def run() -> bytes:
        fetcher = Fetcher(Settings.load(**{"allow_private_networks": True} | changes), "tate-embeddings/test", clock)
        try:
            return await fetcher.fetch(url, take)
        finally:
            await fetcher.close()

    return asyncio.run(run())


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _entry(address: str, port: int) -> Any:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
