"""The words for what a picture shows: what a visitor of a gallery would type, and what a label would say."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.demo.scene import Colour, Kind, Place, Season, Style, Time, Weather


def either(words: str) -> tuple[str, ...]:
    """Ways to say the same thing, from a list with commas."""
    return tuple(words.split(", "))


class Words(NamedTuple):
    """Ways to say one thing: before a noun, and after it."""

    before: Sequence[str]
    after: Sequence[str]


class Noun(NamedTuple):
    """A thing, and several of it where a picture may show several."""

    one: Sequence[str]
    several: Sequence[str] = ()


class Setting(NamedTuple):
    """Where things are, in a word, and how the two go together."""

    words: Sequence[str]
    joint: str


# How many there are, in words, and when nobody counts.
NUMBERS: Mapping[int, Sequence[str]] = {
    1: either("one, a single, a lone"),
    2: either("two, a pair of, 2"),
    3: either("three, 3"),
    4: either("four, 4"),
    5: either("five, 5"),
    6: either("six, 6"),
}

FEW: Mapping[int, str] = {
    2: "a couple of",
    3: "a few",
    4: "several",
    5: "several",
    6: "many",
}

KINDS: Mapping[Kind, Sequence[str]] = {
    "seascape": either("seascape, picture of the sea, marine painting, view of the ocean, coastal scene"),
    "landscape": either("landscape, country scene, view of the countryside, rural landscape, picture of nature"),
    "cityscape": either("cityscape, city view, urban scene, picture of a town, view of a city"),
    "portrait": either("portrait, picture of a person, likeness, portrait painting"),
    "still life": either("still life, still-life painting, arrangement of objects on a table, tabletop still life"),
    "interior": either("interior, picture of a room, domestic interior, indoor scene, view of a room"),
    "abstract": either("abstract painting, abstract composition, abstract picture, abstract, non-figurative work"),
}

SETTINGS: Mapping[Kind, Setting] = {
    "seascape": Setting(either("sea, ocean, sea, coast"), "with"),
    "landscape": Setting(either("landscape, countryside, field"), "with"),
    "cityscape": Setting(either("city, town, cityscape"), "with"),
    "interior": Setting(either("room, interior, living room"), "with"),
    "portrait": Setting(either("portrait"), "of"),
    "still life": Setting(either("still life, table"), "with"),
    "abstract": Setting(either("abstract painting, abstract composition"), "of"),
}

SUBJECTS: Mapping[str, Noun] = {
    "sailing boat": Noun(
        either("sailing boat, sailboat, yacht, boat with sails, boat"),
        either("sailing boats, sailboats, yachts, boats"),
    ),
    "steamship": Noun(either("steamship, steamer, ship, ocean liner, ship with smoking funnels")),
    "lighthouse": Noun(either("lighthouse, striped lighthouse, lighthouse on a rock, beacon")),
    "rocks": Noun(either("rocky coast, cliff by the sea, rocky shore, steep cliff, coast with rocks")),
    "waves": Noun(either("big wave, heavy swell, surf, breaking wave, open sea with waves")),
    "parasol": Noun(
        either("parasol on a beach, beach umbrella, sunshade on the sand, beach with a parasol"),
        either("parasols on a beach, beach umbrellas, sunshades on the sand"),
    ),
    "mountains": Noun(
        either(
            "mountain range, mountain landscape, snow-capped mountain, view of the mountains, mountain peak, alpine"
            " view"
        ),
    ),
    "tree": Noun(
        either("tree, solitary tree, tree in a field"),
        either("trees, trees in a field, trees in a row"),
    ),
    "windmill": Noun(either("windmill, old windmill, mill with sails")),
    "cottage": Noun(either("cottage, small house, farmhouse, country house, house with a chimney")),
    "bridge": Noun(
        either("stone bridge, bridge over a river, river with a bridge, arched bridge, bridge over a stream")
    ),
    "haystack": Noun(either("haystack, stack of hay, hayrick"), either("haystacks, stacks of hay, hayricks")),
    "forest": Noun(either("forest, wood, dense forest, woodland")),
    "houses": Noun(either("street with houses, row of houses, town street, street, row of gabled houses")),
    "skyscrapers": Noun(
        either(
            "skyline, skyline of skyscrapers, modern city with towers, big city with high-rise buildings, metropolis"
        ),
    ),
    "canal": Noun(either("canal, canal with a bridge, canal in a city, canal with houses reflected in the water")),
    "church": Noun(either("church, church with a steeple, cathedral, chapel")),
    "clock tower": Noun(either("clock tower, tower with a clock, tall clock tower")),
    "woman": Noun(either("woman, lady, young woman, girl")),
    "man": Noun(either("man, gentleman, man in a suit, man with a tie")),
    "couple": Noun(either("couple, man and a woman, husband and wife, double portrait, pair of people")),
    "apple": Noun(either("apple, red apple"), either("apples, red apples")),
    "lemon": Noun(either("lemon"), either("lemons")),
    "pear": Noun(either("pear"), either("pears")),
    "flowers": Noun(either("vase of flowers, bouquet, bunch of flowers in a vase, flower piece")),
    "bottle": Noun(
        either("bottle of wine and a glass, wine bottle, bottle and a wine glass, glass of red wine with a bottle")
    ),
    "candle": Noun(
        either("candle, burning candle, lit candle"),
        either("candles, burning candles, lit candles"),
    ),
    "books": Noun(either("stack of books, pile of books, open book on a pile of books")),
    "fish": Noun(
        either("fish on a plate, plate with a fish"),
        either("fish on a plate, fishes on a plate"),
    ),
    "skull": Noun(either("skull, vanitas with a skull, human skull, memento mori")),
    "armchair": Noun(either("armchair, easy chair, upholstered chair")),
    "bed": Noun(either("bed, bedroom, bed with a pillow")),
    "piano": Noun(either("piano, upright piano, music room with a piano")),
    "table": Noun(either("dining table with chairs, table and chairs, dining room, table with a bowl of oranges")),
    "bookshelf": Noun(either("bookshelf, bookcase, library, shelves full of books")),
    "fireplace": Noun(either("fireplace, open fire, hearth, fire burning in a fireplace")),
    "circle": Noun(either("circle, round shape, disc"), either("circles, round shapes, discs, rings")),
    "square": Noun(either("square, square shape"), either("squares, square shapes")),
    "triangle": Noun(either("triangle, triangular shape"), either("triangles, triangular shapes")),
    "stripes": Noun(either("pattern of stripes, stripe painting, set of parallel bands")),
    "grid": Noun(either("grid of black lines, grid of rectangles, lattice of lines and rectangles")),
    "spiral": Noun(either("spiral, whirl, swirl, coil")),
    "curves": Noun(either("pattern of wavy lines, rhythm of curves, set of waving lines, play of curved lines")),
}

# Subjects of which it can be seen at a glance where they stand.
STANDING = either(
    "sailing boat, steamship, lighthouse, parasol, tree, windmill, cottage, haystack, church, clock tower"
)

PLACES: Mapping[Place, Sequence[str]] = {
    "left": either("on the left, at the left"),
    "centre": either("in the middle, in the centre, at the center"),
    "right": either("on the right, at the right"),
}

DETAILS: Mapping[str, Sequence[str]] = {
    "hat": either("wearing a hat, in a hat, with a hat"),
    "glasses": either("wearing glasses, with spectacles, with round glasses"),
    "flower": either("with a flower in her hair, with a flower"),
    "necklace": either("with a pearl necklace, wearing pearls, with a necklace"),
    "beard": either("with a beard, bearded"),
    "tulips": either("with tulips, of tulips"),
    "sunflowers": either("with sunflowers, of sunflowers"),
    "roses": either("with roses, of roses"),
    "cat": either("with a cat, and a cat, with a sitting cat"),
}

WEATHERS: Mapping[Weather, Words] = {
    "clear": Words(
        either("sunny, cloudless, clear"),
        either("under a clear sky, in fine weather, under a cloudless sky, in clear weather"),
    ),
    "cloudy": Words(
        either("cloudy, overcast"),
        either("under a cloudy sky, with clouds, under drifting clouds, on a cloudy day"),
    ),
    "rain": Words(
        either("rainy, wet, rain-swept"),
        either("in the rain, in a shower, on a rainy day, while it rains"),
    ),
    "storm": Words(
        either("stormy, tempestuous, thundery"),
        either("in a storm, in a thunderstorm, with lightning, during a tempest, in a gale"),
    ),
    "snow": Words(
        either("snowy, snow-covered"),
        either("in the snow, in falling snow, in a snowstorm, with snowflakes"),
    ),
    "fog": Words(either("foggy, misty, hazy"), either("in the fog, in mist, shrouded in fog, in a haze")),
}

TIMES: Mapping[Time, Words] = {
    "dawn": Words(
        either("early-morning, dawn"),
        either("at dawn, at sunrise, in the early morning, at daybreak, in pale morning light"),
    ),
    "day": Words(
        either("daytime, bright"),
        either("by day, in daylight, at noon, in broad daylight, in the afternoon"),
    ),
    "dusk": Words(
        either("evening, twilight"),
        either("at dusk, at sunset, in the evening, at twilight, in the evening sun, in the glow of the setting sun"),
    ),
    "night": Words(
        either("nocturnal, moonlit, night"),
        either("at night, by moonlight, under the moon, after dark, at midnight, in the dark"),
    ),
}

SEASONS: Mapping[Season, Words] = {
    "spring": Words(either("spring"), either("in spring, in bloom, in springtime, with blossom")),
    "summer": Words(either("summer, green summer"), either("in summer, in summertime, in high summer")),
    "autumn": Words(
        either("autumn, autumnal"),
        either("in autumn, in fall, with autumn leaves, with falling leaves"),
    ),
    "winter": Words(either("winter, wintry"), either("in winter, in wintertime, in the cold of winter")),
}

STYLES: Mapping[Style, Words] = {
    "oil": Words(
        either("oil painting, oil on canvas, painting in oils"),
        either("in oil, painted in oils, with visible brushstrokes, oil on canvas"),
    ),
    "watercolour": Words(
        either("watercolour, watercolor, watercolour wash, aquarelle"),
        either("in watercolour, watercolor on paper, in thin washes"),
    ),
    "pointillist": Words(
        either("pointillist painting, pointillist picture, neo-impressionist painting"),
        either("made of dots, in dots of colour, pointillist, in the pointillist manner"),
    ),
    "cubist": Words(
        either("cubist painting, cubist picture, cubist work"),
        either("in facets, cubist, broken into facets, in the cubist manner"),
    ),
    "line drawing": Words(
        either("line drawing, drawing, ink drawing, sketch, pen drawing"),
        either("drawn in ink, in pen and ink, in outlines, with hatching"),
    ),
    "woodcut": Words(
        either("woodcut, woodblock print, print, block print"),
        either("as a woodcut, printed from a woodblock, with black outlines"),
    ),
    "mosaic": Words(
        either("mosaic, mosaic picture, tile mosaic"),
        either("in small tiles, made of tiles, as a mosaic, of coloured stones"),
    ),
    "colour field": Words(
        either("colour field painting, color field painting, blurred painting"),
        either("in soft fields of colour, out of focus, with blurred edges"),
    ),
}

HUES: Mapping[Colour, Sequence[str]] = {
    "red": either("red, crimson, scarlet"),
    "orange": either("orange, amber"),
    "yellow": either("yellow, golden, gold"),
    "green": either("green, emerald"),
    "blue": either("blue, azure, cobalt blue"),
    "purple": either("purple, violet, lilac"),
    "pink": either("pink, rose-coloured, magenta"),
    "grey": either("grey, gray, black and white, silver"),
}

IN_COLOUR = either(
    "in {}, in shades of {}, in {} tones, mostly {}, dominated by {}, all in {}, painted in {}, with a lot of {}"
)
