"""What is gone from a list is removed: its rows, what is known of its URLs, and images that nothing names any more."""

import time
from collections.abc import Collection

from app.catalogue.images import forget_others
from app.catalogue.manifest import Manifest
from app.catalogue.places import Places
from app.catalogue.rows import Rows, publish


def prune_rows(rows: Rows, places: Places, run: str) -> int:
    """Publish rows without those that are gone; how many there were. The index is to have forgotten them before."""
    kept = [place for place, row in enumerate(rows.rows) if not row.gone_at]
    pruned = len(rows.rows) - len(kept)
    if pruned:
        dimensions = rows.vectors.shape[1]
        change = {"run": run, "at": round(time.time(), 3), "space": rows.space, "dimensions": dimensions}
        publish(
            places.output,
            [rows.rows[place] for place in kept],
            (rows.vectors[place] for place in kept),
            dimensions,
            rows.failures,
            change | {"rows": len(kept), "pruned": pruned},
        )
    return pruned


def prune_images(urls: Collection[str], manifest: Manifest, rows: Rows, places: Places) -> int:
    """Forget all URLs but these, and all images but theirs and those of rows; how many images were removed."""
    manifest.keep(urls)
    kept = {entry.path for entry in manifest.values() if entry.path}
    named = {places.path_of(path) for path in kept}
    kept |= {row.path.removeprefix(places.path_of("")) for row in rows.rows if row.path not in named}
    return forget_others(places.images, kept)
