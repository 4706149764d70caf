"""A command that is done again and again, until a signal ends it."""

import gc
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from app.errors import StartError

logger = logging.getLogger(__name__)

Say = Callable[[str], None]

wait = time.sleep


def rounds(once: Callable[[Say], object], every_s: float, say: Say) -> None:
    """Do something, wait, and do it again, until SIGTERM ends it wherever it is.

    Args:
        once: does it, and says what came of it.
        every_s: how long to wait after each round.
        say: is told what is said in a round and wasn't in the one before.

    Raises:
        StartError: the first round can't be done. Later ones are logged, and the next one tries again.
        KeyboardInterrupt: by Ctrl-C.
    """
    with _ended_by_sigterm():
        news = _News(say)
        once(news.tell)
        while True:
            _let_go()
            wait(every_s)
            news.begin()
            try:
                once(news.tell)
            except StartError as error:
                logger.error("this round can't be done, and the next one tries again: %s", error)


def _let_go() -> None:
    """Free what a round has left. What it had exempted from that may be garbage by now, and hold a whole model."""
    gc.unfreeze()
    gc.collect()


class _News:
    def __init__(self, say: Say) -> None:
        self._say = say
        self._before: set[str] = set()
        self._now: set[str] = set()

    def begin(self) -> None:
        """Another round."""
        self._before, self._now = self._now, set()

    def tell(self, line: str) -> None:
        self._now.add(line)
        if line not in self._before:
            self._say(line)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, which asyncio too knows how to end by, and is no failure."""
    asked = False

    def end(_: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        interrupt = signal.getsignal(signal.SIGINT)
        # A shell's background processes ignore Ctrl-C.
        (interrupt if callable(interrupt) else signal.default_int_handler)(signal.SIGINT, frame)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        if not asked:
            raise
    finally:
        signal.signal(signal.SIGTERM, before)
