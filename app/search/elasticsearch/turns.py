"""Which index is behind an alias, and whose turn it is to put another in its place.

    NAME                        the alias that everybody knows; it writes to one index, and a second can't have it so
    NAME-<space>                on the same index: who asks by this name can't reach an index of another space, not even
                                one that has come into place a moment ago
    NAME-free                   on the same index, if nobody is at work on its successor, or instead
    NAME-held-<until>-<whose>   somebody is, who has said so at least until that second
    NAME-<space>-<random>       the index itself

What changes these aliases is one request, which Elasticsearch carries out as a whole or not at all: it takes away the
alias that says whose turn it was and fails if that isn't there. So two can't hold an index at once, and one that was
held for dead can't put its own in place any more.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from elasticsearch import Elasticsearch, NotFoundError

from app.errors import IndexUnavailable
from app.search.elasticsearch.asking import asking
from app.search.elasticsearch.bodies import MADE_BY, Body

# Who makes an index anew says so again within the time, and while it lasts nobody else begins or writes. After a killed
# one so long nobody can. Clocks that differ by more cost that work, but nothing that was put in.
HELD_S = 120
RENEWED_S = 10.0
PACE_S = 0.5


@dataclass(frozen=True)
class State:
    """The index behind an alias, what it is of, and the alias that says whose turn it is."""

    index: str
    space: str
    dimensions: int
    turn: str


def state(client: Elasticsearch, alias: str) -> State | None:
    """What is behind an alias; nothing until something was put in.

    Raises:
        IndexUnavailable: something that isn't ours.
    """
    try:
        with asking(NotFoundError):
            described = client.indices.get(index=alias, filter_path=["*.aliases", "*.mappings._meta"])
    except NotFoundError:
        return None
    try:
        ((index, about),) = described.items()
        of = about["mappings"]["_meta"]
        (turn,) = [each for each in about["aliases"] if each == _free(alias) or each.startswith(f"{alias}-held-")]
        return State(index, of["space"], of["dimensions"], turn)
    except (KeyError, ValueError) as error:
        raise IndexUnavailable("What INDEX_URL names in Elasticsearch wasn't made by this service.") from error


def aliases(alias: str, space: str) -> dict[str, Body]:
    """The aliases of the index that is behind one."""
    return {alias: {"is_write_index": True}, f"{alias}-{space}": {}, _free(alias): {}}


def put_in_place(client: Elasticsearch, alias: str, old: State | None, filled: str, new: State | None) -> None:
    """Let an alias lead to the index that was filled behind another, instead of the old one, at one go.

    Raises:
        IndexUnavailable: it wasn't this one's turn any more, or an index has come into place where there was none.
    """
    actions: list[Body] = []
    if old is not None:
        actions += _taken_away(old.index, alias, f"{alias}-{old.space}", old.turn)
    if new is not None:
        actions += _taken_away(new.index, *aliases(filled, new.space))
        actions += [
            {"add": {"index": new.index, "alias": name, **how}} for name, how in aliases(alias, new.space).items()
        ]
    if actions:
        with asking():
            client.indices.update_aliases(actions=actions)


def leftovers(client: Elasticsearch, alias: str) -> list[str]:
    """The indexes that were to come into an alias' place and never did: for the one whose turn it is, to be removed."""
    with asking():
        all_of_it = client.indices.get(index=f"{alias}-*", filter_path=["*.aliases", "*.mappings._meta.made_by"])
    return [
        index
        for index, about in all_of_it.items()
        if index.startswith(f"{alias}-")
        and alias not in about.get("aliases", {})
        and about.get("mappings", {}).get("_meta", {}).get("made_by") == MADE_BY
    ]


class Turn:
    """Somebody's turn to put another index in the place of one."""

    def __init__(self, client: Elasticsearch, alias: str, held: State) -> None:
        self._client = client
        self._alias = alias
        self._held = held
        self._since = time.monotonic()

    @property
    def held(self) -> State:
        """The index as it is held now."""
        return self._held

    def renew(self) -> None:
        """Say again that it is; to be called every now and then, and cheap.

        Raises:
            IndexUnavailable: it isn't any more.
        """
        if time.monotonic() - self._since >= RENEWED_S and not self._say(_held(self._alias)):
            raise IndexUnavailable("Making the index anew took a break for too long, and others went on with it.")

    def give_back(self) -> None:
        """Let writers in again, unless somebody else has done so or another index is in place."""
        # Under another name: what this one has asked for last may still be waiting to be carried out.
        if self._say(_held(self._alias)):
            with asking():
                self._client.indices.put_settings(index=self._held.index, settings={"index.blocks.write": False})
            self._say(_free(self._alias))

    def _say(self, turn: str) -> bool:
        if not _exchanged(self._client, self._held, turn):
            return False
        self._held = replace(self._held, turn=turn)
        self._since = time.monotonic()
        return True


@contextmanager
def held(client: Elasticsearch, alias: str) -> Iterator[Turn | None]:
    """Keep writers out of the index behind an alias, if there is one, and everybody else from doing so.

    It waits for a while for one who seems to be at it; a killed one isn't seen to be gone before.

    Raises:
        IndexUnavailable: somebody is.
    """
    turn = _taken(client, alias)
    if turn is None:
        yield None
        return
    try:
        with asking():
            blocked = client.indices.add_block(index=turn.held.index, block="write")
        if not blocked["shards_acknowledged"]:
            raise IndexUnavailable("The index goes on with what it was told before; try again soon.")
        yield turn
    except BaseException:
        with suppress(IndexUnavailable):  # it has been logged, and what went wrong first says more
            turn.give_back()
        raise


def let_in(client: Elasticsearch, alias: str) -> None:
    """Let writers in again where the one who has kept them out is gone.

    Raises:
        IndexUnavailable: it is at work.
    """
    now = state(client, alias)
    if now is None or now.turn == _free(alias):
        return
    turn = _seized(client, alias, now)
    if turn is None:
        raise IndexUnavailable("The index is being made anew; try again soon.")
    turn.give_back()


def _taken(client: Elasticsearch, alias: str) -> Turn | None:
    patience = time.monotonic() + HELD_S + PACE_S
    while now := state(client, alias):
        if turn := _seized(client, alias, now):
            return turn
        if time.monotonic() > patience:
            raise IndexUnavailable("The index is being made anew by somebody else; try again soon.")
        time.sleep(PACE_S)
    return None


def _seized(client: Elasticsearch, alias: str, now: State) -> Turn | None:
    """The turn, if nobody has it or has renewed it in time."""
    if now.turn != _free(alias) and _until(alias, now.turn) >= time.time():
        return None
    turn = _held(alias)
    if not _exchanged(client, now, turn):
        return None
    return Turn(client, alias, replace(now, turn=turn))


def _exchanged(client: Elasticsearch, now: State, turn: str) -> bool:
    """Whether one turn could be exchanged for another: it can't if somebody else has done so."""
    try:
        with asking(NotFoundError):
            client.indices.update_aliases(
                actions=[*_taken_away(now.index, now.turn), {"add": {"index": now.index, "alias": turn}}]
            )
    except NotFoundError:
        return False
    return True


def _taken_away(index: str, *names: str) -> list[Body]:
    # Each by itself: of several names in one action those that aren't there would be passed over.
    return [{"remove": {"index": index, "alias": name, "must_exist": True}} for name in names]


def _free(alias: str) -> str:
    return f"{alias}-free"


def _held(alias: str) -> str:
    return f"{alias}-held-{int(time.time()) + HELD_S}-{secrets.token_hex(4)}"


def _until(alias: str, turn: str) -> int:
    return int(turn.removeprefix(f"{alias}-held-").partition("-")[0])
