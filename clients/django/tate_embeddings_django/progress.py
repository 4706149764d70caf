"""How far a command is, for whoever watches it: one line that is written over, or in a file a line now and then."""

import time
from collections.abc import Callable

from django.core.management.base import OutputWrapper

ON_TERMINAL_S, IN_FILE_S = 0.2, 30.0


class Progress:
    """Shows lines as often as it makes sense; what it is given more often costs nothing."""

    def __init__(self, out: OutputWrapper, *, quiet: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._quiet = quiet
        self._terminal = out.isatty()
        self._now = now
        self._shown_at = now()
        self._width = 0

    def show(self, line: Callable[[], str]) -> None:
        """Show how far it is, if that is due."""
        now = self._now()
        if self._quiet or now - self._shown_at < (ON_TERMINAL_S if self._terminal else IN_FILE_S):
            return
        self._shown_at = now
        if not self._terminal:
            self._out.write(line())
            return
        text = line()
        self._out.write(f"\r{text:<{self._width}}", ending="")
        self._out.flush()
        self._width = len(text)

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._width:
            self._out.write("\r" + " " * self._width + "\r", ending="")
            self._width = 0
        if not self._quiet:
            self._out.write(line)
