"""Files of Milvus Lite, which is a server in this process: one process has a file, and shares it among its stores."""

import fcntl
import os
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from milvus_lite import server_manager_instance

from app.errors import IndexUnavailable

# Milvus Lite's own, within the folder that it calls a file; locked while a process has it.
LOCK = "LOCK"


@dataclass
class Served:
    """A file that this process has, and where its server listens.

    Milvus Lite keeps no order among those who ask it: whoever searches while it moves items from memory into a file
    doesn't find them. So each has its `turn`.
    """

    uri: str
    turn: AbstractContextManager[bool] = field(default_factory=threading.RLock)
    users: int = 0


_served: dict[str, Served] = {}
_guard = threading.Lock()


def serve(file: str) -> Served:
    """Have a file, which is made if there is none; let go of it as often.

    Raises:
        IndexUnavailable: another process has it, or it can't be read and written.
    """
    with _guard:
        if file not in _served:
            _check_free(Path(file))
            uri = server_manager_instance.start_and_get_uri(file)
            if uri is None:  # the log has the reason
                raise IndexUnavailable("The index's file can't be used.")
            _served[file] = Served(uri)
        served = _served[file]
        served.users += 1
        return served


def let_go(file: str) -> None:
    """Leave a file to others, if nobody in this process has it any more."""
    with _guard:
        _served[file].users -= 1
        if not _served[file].users:
            del _served[file]
            server_manager_instance.release_server(file)


def _check_free(file: Path) -> None:
    """See whether another process has a file, at less cost and with less noise than by starting a server on it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return
    except OSError as error:
        raise IndexUnavailable("The index's file can't be used.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise IndexUnavailable(
            "Another process has the index's file, and Milvus Lite lets only one have it: "
            "run one worker (WORKERS=1), or a Milvus server for several."
        ) from None
    finally:
        os.close(descriptor)
