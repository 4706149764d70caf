"""How far a stage is: a line that moves for whoever watches, and now and then a line in the log for whoever doesn't."""

import logging
import time
from collections.abc import Callable
from typing import TextIO

logger = logging.getLogger(__name__)

SHOWN_EVERY_S = 0.2
LOGGED_EVERY_S = 30.0
BEATS_EVERY_S = 5.0
WIDTH = 24


class Progress:
    """Is told how many of how many are done, as often as anybody likes."""

    def __init__(self, stage: str, beat: Callable[[], None], terminal: TextIO | None) -> None:
        """Show a stage on a terminal, or in the log; `beat` is called every few seconds."""
        self._stage = stage
        self._beat = beat
        self._terminal = terminal
        self._begun: float | None = None
        self._shown = self._logged = self._beaten = 0.0
        self._done = self._total = 0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._begun is None:  # what was prepared before that doesn't count
            self._begun = self._logged = self._beaten = now
        self._done, self._total = done, total
        if self._terminal and now - self._shown >= SHOWN_EVERY_S:
            self._shown = now
            self._show()
        if not self._terminal and now - self._logged >= LOGGED_EVERY_S:
            self._logged = now
            logger.info("%s", self._line())
        if now - self._beaten >= BEATS_EVERY_S:
            self._beaten = now
            self._beat()

    def end(self) -> None:
        """The stage is over."""
        if self._terminal and self._total:
            self._show()
            print(file=self._terminal)

    @property
    def rate(self) -> float:
        """How many a second, so far."""
        return 0.0 if self._begun is None else self._done / max(time.monotonic() - self._begun, 1e-9)

    def _show(self) -> None:
        full = WIDTH * self._done // max(self._total, 1)
        bar = "█" * full + "░" * (WIDTH - full)
        print(f"\r  {bar} {self._line()} ", end="", file=self._terminal, flush=True)

    def _line(self) -> str:
        left_s = (self._total - self._done) / self.rate if self.rate else None
        left = "" if left_s is None else f", {_span(left_s)} left"
        return f"{self._stage}: {self._done:,} of {self._total:,}, {self.rate:,.0f}/s{left}"


def _span(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
