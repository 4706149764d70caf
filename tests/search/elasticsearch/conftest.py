"""What is asked of the stand-in, and by whom."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from app.search.elasticsearch import turns
from app.search.opening import opened
from app.search.store import Item, Store

from tests.search.conftest import SPACE, closing, unit
from tests.search.elasticsearch.stand_in import Asked, StandIn, standing_in

ITEM = Item("sea", unit(1), {"title": "The sea", "year": 1840, "on_view": True, "tags": ["a", 1, None]}, "digest")
LATER = Item("later", unit(0, 1), {}, "")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PACE_S", 0.01)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with standing_in() as stand_in:
        yield stand_in


@pytest.fixture
def index(stand_in: StandIn) -> Iterator[Store]:
    """A store with nothing in it."""
    with another(stand_in) as store:
        yield store


@pytest.fixture
def filled(index: Store) -> Store:
    """A store with one item."""
    index.upsert([ITEM], SPACE)
    return index


def another(stand_in: StandIn, rest: str = "") -> AbstractContextManager[Store]:
    """The store as another process has it."""
    return closing(opened(stand_in.url + rest))


def put_in(stand_in: StandIn, item: Item = LATER, space: str = SPACE) -> None:
    """Have another process put something in."""
    with another(stand_in) as store:
        store.upsert([item], space)


def make_anew(index: Store, item: Item, space: str, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Make an index anew, of one item, with something that happens before it takes the old one's place."""
    with index.anew() as fresh:
        fresh.upsert([item], space)
        meanwhile()
        fresh.upsert([item], space)


def once(kind: str, do: Callable[[], object]) -> Callable[[Asked], None]:
    """What happens before the first request of a kind."""
    left = [do]

    def before(asked: Asked) -> None:
        if kind in str(asked) and left:
            left.pop()()

    return before
