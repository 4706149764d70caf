"""What hangs here: the works of this repository's painter. A museum has its own, and no need of this module."""

import io
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from app.demo.artworks import Artwork, collection
from app.demo.painter import paint
from app.demo.scene import imagine
from app.resources import cores

# The same works as those of `tate-embeddings demo`.
FIRST_SEED = 2_000_010_000
SIZE = 640
QUALITY = 90


def paintings(count: int, there: set[str]) -> Iterator[tuple[Artwork, bytes]]:
    """The first works by their labels and as JPEGs, without those whose ids are among `there`."""
    missing = [(scene, work) for scene, work in collection(FIRST_SEED, count) if work.id not in there]
    if missing:
        with ProcessPoolExecutor(cores()) as painters:
            pictures = painters.map(_painted, [scene.seed for scene, _ in missing])
            yield from zip([work for _, work in missing], pictures, strict=True)


def _painted(seed: int) -> bytes:
    stream = io.BytesIO()
    paint(imagine(seed), SIZE).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()
