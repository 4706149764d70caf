"""How many bytes of images a worker holds at once: few large ones or many small ones, but never all memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import Overloaded

Take = Callable[[int], None]


class ByteBudget:
    """Bytes to be taken as they arrive. Who would wait for more while holding some could wait forever, so nobody does.

    For one event loop; it isn't safe in threads.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit

    @contextmanager
    def share(self) -> Iterator[Take]:
        """One request's share: call it with a number of bytes to take them; all are given back at the end.

        It raises `Overloaded` where there aren't as many left.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self._left:
                raise Overloaded("Too many images are being read at once; try again soon.")
            self._left -= count
            taken += count

        try:
            yield take
        finally:
            self._left += taken
