"""Scenes as works of a collection: with a title, a painter, a year and a medium, all of them invented."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from app.demo.captions import caption
from app.demo.scene import Colour, Kind, Scene, Season, Style, Time, Weather, imagine
from app.demo.words import DETAILS, NUMBERS, SUBJECTS, TIMES, WEATHERS

# Who paints in which style, and on what.
PAINTERS: Mapping[Style, tuple[str, str]] = {
    "oil": ("Ada Impasto", "oil on canvas"),
    "watercolour": ("Marin Lavis", "watercolour on paper"),
    "pointillist": ("Dot Pointner", "oil on panel, in dots"),
    "cubist": ("Kuba Facett", "oil on canvas, in facets"),
    "line drawing": ("Lina Penn", "ink on paper"),
    "woodcut": ("Hana Block", "colour woodcut"),
    "mosaic": ("Tessa Rae", "glass and stone mosaic"),
    "colour field": ("Fielding Hughes", "acrylic on canvas"),
}
FIRST_YEAR, LAST_YEAR = 1871, 1969


@dataclass(frozen=True)
class Artwork:
    """A work of the demonstration gallery. Neither it nor its painter ever existed."""

    id: str
    title: str
    artist: str
    year: int
    medium: str
    caption: str
    kind: Kind
    colour: Colour
    style: Style
    weather: Weather | None
    time: Time | None
    season: Season | None


def artwork(number: int, scene: Scene) -> Artwork:
    """What the label beside a scene's picture says."""
    rng = np.random.default_rng([scene.seed, 5])
    artist, medium = PAINTERS[scene.style]
    return Artwork(
        id=f"demo-{number:04}",
        title=_title(scene),
        artist=f"{artist} (invented)",
        year=int(rng.integers(FIRST_YEAR, LAST_YEAR)),
        medium=medium,
        caption=caption(scene, rng),
        kind=scene.kind,
        colour=scene.colour,
        style=scene.style,
        weather=scene.weather,
        time=scene.time,
        season=scene.season,
    )


def collection(first_seed: int, count: int) -> list[tuple[Scene, Artwork]]:
    """The scenes of consecutive seeds, as works."""
    scenes = [imagine(first_seed + index) for index in range(count)]
    return [(scene, artwork(number, scene)) for number, scene in enumerate(scenes, start=1)]


def _title(scene: Scene) -> str:
    one, several = SUBJECTS[scene.subject]
    number = NUMBERS[scene.count][0]
    subject = f"{number} {several[0]}" if scene.count > 1 else one[0]
    if scene.detail:
        subject = f"{subject} {DETAILS[scene.detail][0]}"
    if scene.kind == "portrait":
        subject = f"portrait of a {subject}"
    elif scene.kind == "still life":
        subject = f"still life: {subject}"
    elif scene.kind == "interior":
        subject = f"room with {'an' if subject[0] in 'aeiou' else 'a'} {subject}"
    elif scene.kind == "abstract":
        subject = f"{subject} in {scene.colour} and {scene.accent}"
    circumstances = [TIMES[scene.time].after[0]] if scene.time else []
    if scene.weather and scene.weather != "clear":
        circumstances.insert(0, WEATHERS[scene.weather].after[0])
    title = " ".join([subject, ", ".join(circumstances)]).strip()
    return title[0].upper() + title[1:]
