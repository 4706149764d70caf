"""What a decoder's process runs: an image and what to do with it come in at a socket, pixels or a failure go out.

`decoders.py` starts it and is the other end. Imports stay few here: each process pays for them in time and memory.
"""

import json
import pickle
import resource
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

from app.errors import ImageCorrupt, ImageError
from app.images.decode import look

# Before each message: the sizes of its two parts. To here they are a pickled callable and the image. From here they
# are a report and the pixels; the report is JSON, because nobody should unpickle what met hostile bytes.
SIZES = Struct("!QQ")
READY = b"\x01"
# An orphan that hangs isn't killed by anybody else. The parent comes first.
GRACE_S = 1.0


def main(max_pixels: int, memory: int, limit_s: float) -> None:
    """Answer until the other end is closed, as it is when the parent dies."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # they are the parent's to follow, once its requests are done
        signal.signal(ignored, signal.SIG_IGN)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, memory)
    with suppress(OSError):  # if the container's memory ends, let it take this process and not the service
        Path("/proc/self/oom_score_adj").write_text("1000")
    with suppress(EOFError, ConnectionError), socket.socket(fileno=0) as channel, channel.makefile("rb") as stream:
        channel.sendall(READY)
        while True:
            sizes = SIZES.unpack(_exactly(stream, SIZES.size))
            preprocess, data = (_exactly(stream, size) for size in sizes)
            signal.setitimer(signal.ITIMER_REAL, limit_s + GRACE_S)
            report, pixels = _look(preprocess, data, max_pixels)
            signal.setitimer(signal.ITIMER_REAL, 0)
            line = json.dumps(report).encode()
            channel.sendall(SIZES.pack(len(line), len(pixels)) + line)
            channel.sendall(pixels)


def _look(preprocess: bytes, data: bytes, max_pixels: int) -> tuple[dict[str, Any], bytes]:
    try:
        picture, pixels = look(data, max_pixels, pickle.loads(preprocess))
        size = {"width": picture.width, "height": picture.height}
        return {"shape": pixels.shape, **size}, pixels.tobytes()
    except MemoryError:
        return _refusal(ImageCorrupt("The image takes too much memory.")), b""
    except ImageError as error:
        return _refusal(error), b""
    except Exception:
        return {"defect": traceback.format_exc()}, b""


def _refusal(error: ImageError) -> dict[str, Any]:
    cause = error.__cause__
    return {
        "code": error.code,
        "detail": error.detail,
        "cause": None if cause is None else f"{type(cause).__name__}: {cause}",
    }


def _limit(kind: int, most: int) -> None:
    """Lower a limit; one that is lower already stays."""
    _, highest = resource.getrlimit(kind)
    most = most if highest == resource.RLIM_INFINITY else min(most, highest)
    resource.setrlimit(kind, (most, most))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    read = stream.read(size)
    if len(read) < size:
        raise EOFError
    return read


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
