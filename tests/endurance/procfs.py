"""What Linux tells of processes: who they are, what they hold, and which connections are theirs.

A process may end while it is looked at; it then holds nothing.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1024
LISTENING = "0A"
PSS = re.compile(r"^Pss: +(\d+) kB$", re.M)
# Fields of /proc/N/stat after the name, which stands in brackets and may hold anything.
STATE, PARENT, STARTED = 0, 1, 19


def marked(marker: str) -> list[int]:
    """Processes that live and whose environment holds a marker; they hand it on, whoever becomes their parent."""
    wanted = marker.encode()
    return [number for number in _numbers() if wanted in _bytes(PROC / str(number) / "environ")]


def children(number: int) -> list[int]:
    """Processes that a process has started and that live."""
    return [child for child in _numbers() if (stat := _stat(child)) and stat[PARENT] == str(number)]


def parent(number: int) -> int | None:
    """Whose child a process is now."""
    stat = _stat(number)
    return int(stat[PARENT]) if stat else None


def command(number: int) -> list[str]:
    """The words that a process was started with."""
    return _bytes(PROC / str(number) / "cmdline").decode(errors="replace").split("\0")


def is_stopped(number: int) -> bool:
    """Whether a process does nothing until it is told to go on, or has ended."""
    stat = _stat(number)
    return not stat or stat[STATE] == "T"


def age_s(number: int) -> float:
    """For how many seconds a process has been there."""
    stat = _stat(number)
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(stat[STARTED]) / TICKS if stat else 0.0


def proportional(number: int) -> int:
    """Bytes of memory that a process holds, what it shares with others divided among them."""
    found = PSS.search(_bytes(PROC / str(number) / "smaps_rollup").decode())
    return int(found[1]) * KIB if found else 0


def descriptors(number: int) -> dict[int, str]:
    """What a process has open, by its number there."""
    found = {}
    for file in _entries(PROC / str(number) / "fd"):
        try:
            found[int(file.name)] = str(file.readlink())
        except OSError:
            continue
    return found


def mapped(number: int) -> set[str]:
    """Files that a process has mapped into its memory."""
    lines = _bytes(PROC / str(number) / "maps").decode(errors="replace").splitlines()
    return {fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6}


def in_use() -> set[str]:
    """Files that any process has open or mapped."""
    return {name for number in _numbers() for name in (*descriptors(number).values(), *mapped(number))}


def callers(number: int, port: int) -> frozenset[int]:
    """The far ends' ports of the connections to a port of this machine that a process has accepted."""
    sockets = _sockets(number)
    return frozenset(far for inode, near, far, _ in _tcp() if near == port and far and inode in sockets)


def connections_from(number: int) -> int:
    """How many connections a process has that aren't to a port where it listens: those that it opened itself."""
    sockets, table = _sockets(number), [*_tcp()]
    listening = {near for _, near, _, state in table if state == LISTENING}
    return sum(inode in sockets and state != LISTENING and near not in listening for inode, near, _, state in table)


def _sockets(number: int) -> set[str]:
    return {link[8:-1] for link in descriptors(number).values() if link.startswith("socket:[")}


def _tcp() -> Iterator[tuple[str, int, int, str]]:
    """Inode, near port, far port and state of every socket."""
    for table in ("tcp", "tcp6"):
        for line in _bytes(PROC / "net" / table).decode().splitlines()[1:]:
            fields = line.split()
            near, far = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
            yield fields[9], near, far, fields[3]


def _numbers() -> list[int]:
    return [int(entry.name) for entry in _entries(PROC) if entry.name.isdecimal()]


def _stat(number: int) -> list[str]:
    """None of a process that has ended and waits to be noticed."""
    fields = _bytes(PROC / str(number) / "stat").decode(errors="replace").rpartition(")")[2].split()
    return [] if not fields or fields[STATE] == "Z" else fields


def _entries(folder: Path) -> list[Path]:
    try:
        return [*folder.iterdir()]
    except OSError:
        return []


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
