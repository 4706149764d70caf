"""What a visitor would type: captions of a scene, in many words for the same thing.

A caption says some of what is true of its scene, never anything that isn't.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from app.demo.scene import OUTDOORS, Colour, Scene
from app.demo.words import (
    DETAILS,
    FEW,
    HUES,
    IN_COLOUR,
    KINDS,
    NUMBERS,
    PLACES,
    SEASONS,
    SETTINGS,
    STANDING,
    STYLES,
    SUBJECTS,
    TIMES,
    WEATHERS,
    Words,
)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _said_of(fact: Words) -> list[str]:
    return [f"{before} scene" for before in fact.before] + [f"a picture {after}" for after in fact.after]


# How each attribute is asked for, class by class, when a picture is told by it from others.
PROMPTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "scene": {name: list(names) for name, names in KINDS.items()},
    "colour": {
        name: [f"a picture {way.format(hue)}" for hue in hues for way in IN_COLOUR] for name, hues in HUES.items()
    },
    "weather": {name: _said_of(fact) for name, fact in WEATHERS.items()},
    "time": {name: _said_of(fact) for name, fact in TIMES.items()},
    "season": {name: _said_of(fact) for name, fact in SEASONS.items()},
    "style": {name: [*fact.before, *(f"a picture {after}" for after in fact.after)] for name, fact in STYLES.items()},
    "subject": {name: [*map(_article, noun.one), *noun.several] for name, noun in SUBJECTS.items()},
}


def attributes(scene: Scene) -> dict[str, str | None]:
    """The class of a scene in each attribute of `PROMPTS`; None where it has none."""
    return {
        "scene": scene.kind,
        "colour": scene.colour,
        "weather": scene.weather,
        "time": scene.time,
        "season": scene.season,
        "style": scene.style,
        "subject": scene.subject,
    }


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A full caption: style, subject, and most of what can be said about it, as a catalogue would have it."""
    return _sentence(scene, rng, 0.88)


def query(scene: Scene, rng: np.random.Generator) -> str:
    """A few words, as typed into a search box: the subject, and one or two things about it."""
    draw = rng.random()
    if draw < 0.1:
        return _one(_keywords(scene, rng), rng)
    if draw < 0.28:
        return _at_large(scene, rng)
    if draw < 0.46:
        words = _keywords(scene, rng)
        picked = rng.permutation(len(words))[: int(rng.integers(2, 5))]
        return _one((" ", ", "), rng).join(words[index] for index in picked)
    return _sentence(scene, rng, 0.3)


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def _hue(colour: Colour, rng: np.random.Generator) -> str:
    return HUES[colour][0] if rng.random() < 0.6 else _one(HUES[colour], rng)


def _colour(scene: Scene, rng: np.random.Generator) -> str:
    hue = _hue(scene.colour, rng)
    if scene.kind == "portrait" and scene.subject != "couple" and rng.random() < 0.5:
        cloth = _one(("dress", "blouse"), rng) if scene.subject == "woman" else _one(("suit", "jacket"), rng)
        return f"in {_article(f'{hue} {cloth}')}"
    if scene.kind == "interior" and rng.random() < 0.3:
        return f"with {hue} walls"
    return _one(IN_COLOUR, rng).format(hue)


def _keywords(scene: Scene, rng: np.random.Generator) -> list[str]:
    """One word or phrase for everything that is true of a scene."""
    return [
        _one(SUBJECTS[scene.subject][scene.count > 1], rng),
        _one(KINDS[scene.kind], rng),
        _hue(scene.colour, rng),
        _one(STYLES[scene.style].before, rng),
        *(_one((*words.before, *words.after), rng) for words in _circumstantial(scene)),
    ]


def _at_large(scene: Scene, rng: np.random.Generator) -> str:
    """One thing that is true of a scene, whatever it shows."""
    facts = [STYLES[scene.style], *_circumstantial(scene)]
    choice = int(rng.integers(len(facts) + 1))
    whatever = _one(("scene", "picture", "painting", "view"), rng)
    if choice == len(facts):
        return f"{_article(whatever)} {_one(IN_COLOUR, rng).format(_hue(scene.colour, rng))}"
    if choice and rng.random() < 0.5:
        return _article(f"{_one(facts[choice].before, rng)} {whatever}")
    return f"{_article(whatever)} {_one(facts[choice].after, rng)}"


def _noun(scene: Scene, rng: np.random.Generator, adjectives: str) -> str:
    one, several = SUBJECTS[scene.subject]
    if scene.count > 1:
        number = FEW[scene.count] if rng.random() < 0.15 else _one(NUMBERS[scene.count], rng)
        return f"{number} {adjectives}{_one(several, rng)}"
    noun = _one(one, rng)
    if several and not adjectives and rng.random() < 0.3:
        return f"{_one(NUMBERS[1], rng)} {noun}"
    return _article(f"{adjectives}{noun}")


def _sentence(scene: Scene, rng: np.random.Generator, fullness: float) -> str:
    """A sentence that says each thing with a probability of `fullness`, in one of several orders."""
    adjectives, phrases = _circumstances(scene, rng, fullness)
    noun = _subject(scene, rng, fullness, adjectives)
    if rng.random() < fullness:
        phrases.append(_colour(scene, rng))
    if scene.kind == "abstract" and rng.random() < fullness * 0.5:
        phrases.append(f"with {HUES[scene.accent][0]}")
    lead = ""
    if rng.random() < fullness:
        if rng.random() < 0.7:
            lead = f"{_article(_one(STYLES[scene.style].before, rng))} of "
        else:
            phrases.append(_one(STYLES[scene.style].after, rng))
    elif rng.random() < 0.2:
        lead = f"{_article(_one(KINDS[scene.kind], rng))} with "
    elif rng.random() < 0.18:
        lead = _one(("a picture of ", "a painting of "), rng)
    order = [phrases[index] for index in rng.permutation(len(phrases))]
    return (" " if rng.random() < 0.7 else ", ").join([f"{lead}{noun}", *order])


def _circumstances(scene: Scene, rng: np.random.Generator, fullness: float) -> tuple[str, list[str]]:
    """Weather, time and season: perhaps one as an adjective, the others as phrases."""
    said = [words for words in _circumstantial(scene) if rng.random() < fullness]
    adjective, phrases = "", []
    for index in rng.permutation(len(said)):
        if not adjective and scene.kind in OUTDOORS and rng.random() < 0.35:
            adjective = f"{_one(said[index].before, rng)} "
        else:
            phrases.append(_one(said[index].after, rng))
    if scene.kind == "abstract" and rng.random() < fullness * 0.3:
        adjective = f"{_hue(scene.colour, rng)} "
    return adjective, phrases


def _subject(scene: Scene, rng: np.random.Generator, fullness: float, adjectives: str) -> str:
    """The subject, perhaps in its setting, with what it has besides and where it stands."""
    if rng.random() < 0.3:
        setting = SETTINGS[scene.kind]
        noun = _article(f"{adjectives}{_one(setting.words, rng)}")
        if rng.random() < max(fullness, 0.5) or scene.kind in ("portrait", "abstract"):
            noun = f"{noun} {setting.joint} {_noun(scene, rng, '')}"
    else:
        noun = _noun(scene, rng, adjectives)
    if scene.detail and rng.random() < max(fullness, 0.5):
        noun = f"{noun} {_one(DETAILS[scene.detail], rng)}"
    if scene.subject in STANDING and scene.count == 1 and rng.random() < fullness * 0.4:
        noun = f"{noun} {_one(PLACES[scene.place], rng)}"
    return noun


def _circumstantial(scene: Scene) -> list[Words]:
    words = [WEATHERS[scene.weather]] if scene.weather else []
    words += [TIMES[scene.time]] if scene.time else []
    words += [SEASONS[scene.season]] if scene.season else []
    return words
