"""What tests of several clients share."""

from collections.abc import Callable, Iterator

import pytest

from tests.clients.python.service import Loopback, Respond


@pytest.fixture
def loopback() -> Iterator[Callable[[Respond], Loopback]]:
    """Puts services behind real sockets."""
    opened: list[Loopback] = []

    def open_one(respond: Respond) -> Loopback:
        opened.append(Loopback(respond))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
