"""Images by the digest of their bytes: `ab/ab….jpg`. What is here once is never written again."""

from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from app.images.kinds import suffix


def keep(folder: Path, data: bytes) -> tuple[str, str]:
    """Put an image where it belongs.

    Returns:
        Its digest, and its path in the folder.

    Raises:
        OSError: it can't be written.
    """
    digest = sha256(data).hexdigest()
    path = f"{digest[:2]}/{digest}{suffix(data)}"
    file = folder / path
    if not is_kept(folder, path, len(data)):
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{token_hex(8)}")
        try:
            unfinished.write_bytes(data)
            unfinished.replace(file)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    return digest, path


def is_kept(folder: Path, path: str | None, size: int | None) -> bool:
    """Whether an image is here, as large as it was."""
    try:
        return path is not None and (folder / path).stat().st_size == size
    except OSError:
        return False


def forget_others(folder: Path, kept: set[str]) -> int:
    """Remove every image but those of these paths; how many there were."""
    others = [file for file in folder.glob("??/*") if file.relative_to(folder).as_posix() not in kept]
    for file in others:
        file.unlink(missing_ok=True)
    return len(others)
