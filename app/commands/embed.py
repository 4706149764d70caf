"""Texts, files, folders and URLs to vectors: a window of items at a time, in order."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from pydantic import TypeAdapter, ValidationError

from app.api.schemas import Text
from app.commands.items import Item
from app.commands.outcomes import Embeds, Failed, Outcome
from app.commands.outputs import Output
from app.errors import TooLarge

# Enough for texts to be computed together, few enough that nobody waits long for the first vectors.
WINDOW = 64

TEXT = TypeAdapter(Text)

# How many items became what: a vector (None), or a failure of this code.
Tally = Counter[str | None]


def embed(items: Iterable[Item], embeds: Embeds, output: Output, told: Callable[[int], None]) -> Tally:
    """Embed items and write what becomes of each; one that fails doesn't stop the others.

    Args:
        items: read as they are needed.
        embeds: what embeds them.
        output: takes the outcomes.
        told: is told how many are done.

    Returns:
        How many items became what.
    """
    tally: Tally = Counter()
    for window in _windows(items):
        for item, outcome in zip(window, outcomes(window, embeds), strict=True):
            output.write(item, outcome)
            tally[outcome.code if isinstance(outcome, Failed) else None] += 1
        output.flush()
        told(tally.total())
    return tally


def summary(tally: Tally) -> str | None:
    """A line on what has no vector, if anything hasn't."""
    failed = tally.total() - tally[None]
    codes = ", ".join(f"{count} {code}" for code, count in tally.most_common() if code)
    return f"{failed} of {tally.total()} items have no vector ({codes})" if failed else None


def outcomes(items: Sequence[Item], embeds: Embeds) -> list[Outcome]:
    """What becomes of each of some items, in their order: of so many as may be in memory at once."""
    found: dict[int, Outcome] = {}
    texts: dict[int, str] = {}
    images: dict[int, Item] = {}
    for place, item in enumerate(items):
        if item.kind != "text":
            images[place] = item
        elif (fault := _fault(item.name)) is None:
            texts[place] = item.name
        else:
            found[place] = fault
    if texts:
        found |= zip(texts, embeds.texts([*texts.values()]), strict=True)
    if images:
        found |= zip(images, embeds.images([*images.values()]), strict=True)
    return [found[place] for place in range(len(items))]


def _windows(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while window := list(islice(iterator, WINDOW)):
        yield window


def _fault(text: str) -> Failed | None:
    """Why a text can't be embedded, by the same rules as over HTTP."""
    try:
        text.encode()
        TEXT.validate_python(text)
    except UnicodeEncodeError:
        return Failed("invalid_request", "The text is not UTF-8.")
    except TooLarge as error:
        return Failed.by(error)
    except ValidationError:
        return Failed("invalid_request", "The text is blank.")
    return None
