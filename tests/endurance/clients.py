"""Callers: each asks, waits for the answer, thinks a while, and asks again. Some hang up in the middle."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from time import monotonic

from tests.endurance.forms import Question
from tests.endurance.ledger import Ledger
from tests.endurance.wire import Connection, Lost, connect

# Longer than the service may take for anything.
PATIENCE_S = 30.0
# A server closes what is idle; who then asks at the same moment gets no answer. Nobody's clients wait for that.
REUSED_WITHIN_S = 1.0
CONNECTING_S = 10.0


@dataclass(frozen=True)
class Habits:
    """How long a caller thinks on average, how often it takes a new connection, and how often it hangs up."""

    thinks_s: float
    new_connections: float = 0.0
    hangs_up: float = 0.0
    steady: bool = False


class Caller:
    """One caller, with at most one connection."""

    def __init__(self, port: int, ask: Callable[[], Question], habits: Habits, ledger: Ledger, rng: Random) -> None:
        self._port = port
        self._next = ask
        self._habits = habits
        self._ledger = ledger
        self._rng = rng
        self._connection: Connection | None = None

    async def run(self, ending: asyncio.Event) -> None:
        """Ask until it is time to end; what is asked then is still waited for."""
        try:
            while not await _within(ending, self._thinking_s()):
                question = self._next()
                self._ledger.asked[question.kind] += 1
                if self._rng.random() < self._habits.hangs_up:
                    await self._hang_up(question)
                else:
                    await self.ask(question)
        finally:
            self._drop()

    async def ask(self, question: Question) -> None:
        """Ask one thing, and take down what becomes of it."""
        connection = await self._connect(question)
        if connection is None:
            return
        asked = monotonic()
        try:
            answer = await connection.ask(question.head + question.body, PATIENCE_S)
        except Lost as reason:
            self._ledger.lose(question, connection.port, str(reason))
            self._drop()
            return
        self._ledger.judge(question, answer, asked)
        if answer.headers.get("connection", "").lower() == "close" or self._rng.random() < self._habits.new_connections:
            self._drop()

    async def _hang_up(self, question: Question) -> None:
        """Go after the headers, in the middle of the body, or before the answer."""
        connection = await self._connect(question)
        if connection is None:
            return
        request = question.head + question.body
        sent = self._rng.choice((len(question.head), len(question.head) + len(question.body) // 2, len(request)))
        connection.send(request[:sent])
        await asyncio.sleep(self._rng.uniform(0, 0.02))
        self._ledger.hung_up += 1
        connection.unasked = 0  # the answer to what isn't waited for may have come
        self._drop()

    async def _connect(self, question: Question) -> Connection | None:
        kept = self._connection
        if kept is not None and kept.usable and monotonic() - kept.since < REUSED_WITHIN_S:
            return kept
        self._drop()
        try:
            async with asyncio.timeout(CONNECTING_S):
                self._connection = await connect(self._port)
        except OSError as error:  # a timeout is one too
            self._ledger.lose(question, 0, f"no connection ({type(error).__name__})")
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._ledger.unasked += self._connection.unasked
            self._connection.hang_up()
            self._connection = None

    def _thinking_s(self) -> float:
        thinks_s = self._habits.thinks_s
        return thinks_s if self._habits.steady else self._rng.expovariate(1 / thinks_s)


@asynccontextmanager
async def calling(callers: list[Caller]) -> AsyncIterator[None]:
    """Let callers ask for as long as the block lasts, and wait for their last answers."""
    ending = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for caller in callers:
            tasks.create_task(caller.run(ending))
        try:
            yield
        finally:
            ending.set()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether something happens within some seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
