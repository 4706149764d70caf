"""Processes that a test of Ray starts and ends: `ray` holds one, `embed FOLDER` uses it and says how far it is."""

import sys
from pathlib import Path

from app.catalogue import on_ray
from app.catalogue.embedding import Model, embed
from app.catalogue.lists import read
from app.catalogue.manifest import Manifest
from app.catalogue.on_ray import LOCAL, OnRay, connected
from app.catalogue.places import Places
from app.config import Settings

# So that a few images make batches enough: of the first ones it isn't certain which comes first.
BATCH = 8


def hold() -> None:
    """Start Ray, say where, and end it when standard input is closed."""
    with connected(LOCAL) as ray:
        say(ray.get_runtime_context().gcs_address)
        sys.stdin.read()


def embedded(folder: Path, model: Model) -> None:
    """Embed a catalogue, and say how many images are computed whenever that changes."""
    places = Places.of(folder, None, None, None)
    listed = read(str(folder / "list.txt")).rows
    embed(listed, Manifest(places.manifest), places, model, "a run", lambda done, _: say(done))


def say(what: object) -> None:
    """A line for the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "ray":
        hold()
    else:
        on_ray.BATCH = BATCH
        embedded(Path(sys.argv[2]), OnRay(Settings.load()))
