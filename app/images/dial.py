"""Dialling: a name is resolved once, every answer is judged, and one of the addresses judged is dialled."""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

import httpcore

from app.errors import UrlForbidden
from app.images.addresses import refusal


class NoSuchName(Exception):
    """A name server knows no such name; asking again won't help."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens the connections of a pool, and only to addresses that are allowed.

    TLS and the pool know the host by its name, so certificates are checked against the name. A connection in the pool
    is used again for the same scheme, host and port, without another look-up: it leads where it led when it was judged.
    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in await self._judged_addresses(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _judged_addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise httpcore.ConnectError("no answer from a name server") from error
            raise NoSuchName(host) from error
        except (OSError, UnicodeError) as error:
            raise NoSuchName(host) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if reason := refusal(address, private=self._private):
                raise UrlForbidden(f"{host} is {address}, which is {reason}")
        return addresses

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise UrlForbidden("a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
