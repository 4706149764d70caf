"""What can be painted: a scene is a choice of subject, weather, light, colour and style, made from a seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np

Kind = Literal["seascape", "landscape", "cityscape", "portrait", "still life", "interior", "abstract"]
Weather = Literal["clear", "cloudy", "rain", "storm", "snow", "fog"]
Time = Literal["dawn", "day", "dusk", "night"]
Season = Literal["spring", "summer", "autumn", "winter"]
Colour = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "grey"]
Style = Literal["oil", "watercolour", "pointillist", "cubist", "line drawing", "woodcut", "mosaic", "colour field"]
Place = Literal["left", "centre", "right"]
Format = Literal["wide", "square", "tall"]

Choice = TypeVar("Choice")

# Each kind's subjects, with the most that a picture shows of them.
SUBJECTS: Mapping[Kind, Mapping[str, int]] = {
    "seascape": {"sailing boat": 4, "steamship": 1, "lighthouse": 1, "rocks": 1, "waves": 1, "parasol": 4},
    "landscape": {
        "mountains": 1, "tree": 5, "windmill": 1, "cottage": 1, "bridge": 1, "haystack": 4, "forest": 1,
    },
    "cityscape": {"houses": 1, "skyscrapers": 1, "canal": 1, "church": 1, "clock tower": 1},
    "portrait": {"woman": 1, "man": 1, "couple": 1},
    "still life": {
        "apple": 5, "lemon": 5, "pear": 5, "flowers": 1, "bottle": 1, "candle": 3, "books": 1, "fish": 2, "skull": 1,
    },
    "interior": {"armchair": 1, "bed": 1, "piano": 1, "table": 1, "bookshelf": 1, "fireplace": 1},
    "abstract": {"circle": 6, "square": 6, "triangle": 6, "stripes": 1, "grid": 1, "spiral": 1, "curves": 1},
}  # fmt: skip

# What a subject may have besides; most have nothing.
DETAILS: Mapping[str, Sequence[str]] = {
    "woman": ("", "hat", "glasses", "flower", "necklace"),
    "man": ("", "hat", "glasses", "beard"),
    "flowers": ("tulips", "sunflowers", "roses"),
    "bed": ("", "cat"),
    "armchair": ("", "cat"),
    "table": ("", "cat"),
}

OUTDOORS: Sequence[Kind] = ("seascape", "landscape", "cityscape")
WITH_SEASONS: Sequence[Kind] = ("landscape",)
WITH_TIMES: Sequence[Kind] = (*OUTDOORS, "interior")


@dataclass(frozen=True)
class Scene:
    """Everything that a picture shows and a caption may say of it; `seed` decides the rest of the picture."""

    seed: int
    kind: Kind
    subject: str
    count: int
    detail: str
    colour: Colour
    accent: Colour
    style: Style
    place: Place
    format: Format
    weather: Weather | None
    time: Time | None
    season: Season | None


def imagine(seed: int) -> Scene:
    """The scene of a seed: always the same one, and all attributes evenly spread over many seeds."""
    rng = np.random.default_rng([seed, 1])

    def one_of(choices: Sequence[Choice]) -> Choice:
        return choices[int(rng.integers(len(choices)))]

    kind: Kind = one_of(get_args(Kind))
    subject = one_of(list(SUBJECTS[kind]))
    colours: Sequence[Colour] = get_args(Colour)
    colour = one_of(colours)
    styles: list[Style] = [style for style in get_args(Style) if style != "colour field" or kind == "abstract"]
    weather: Weather | None = one_of(get_args(Weather)) if kind in OUTDOORS else None
    season: Season | None = one_of(get_args(Season)) if kind in WITH_SEASONS else None
    return Scene(
        seed=seed,
        kind=kind,
        subject=subject,
        count=1 + int(rng.integers(SUBJECTS[kind][subject])),
        detail=one_of(DETAILS.get(subject, ("",))),
        colour=colour,
        accent=one_of([other for other in colours if other not in (colour, "grey")]),
        style=one_of(styles),
        place=one_of(get_args(Place)),
        format="square" if kind == "portrait" and rng.random() < 0.3 else one_of(_formats(kind)),
        weather=weather,
        time=one_of(get_args(Time)) if kind in WITH_TIMES else None,
        season="winter" if season and weather == "snow" else season,
    )


def _formats(kind: Kind) -> Sequence[Format]:
    if kind == "portrait":
        return ("tall",)
    return ("wide", "wide", "square") if kind in OUTDOORS else ("wide", "square", "tall")
