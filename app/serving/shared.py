"""What a process and those that are forked from it both see."""

from mmap import mmap


class Flag:
    """Down until somebody on either side raises it."""

    def __init__(self) -> None:
        self._memory = mmap(-1, 1)

    def raise_(self) -> None:
        """From now on it is up, for everybody."""
        self._memory[0] = 1

    def __bool__(self) -> bool:
        return self._memory[0] == 1
