"""What visitors are told of a failure: what it means for them, and what they can do."""

from dataclasses import dataclass

from app.config import MIB
from app.errors import (
    DeadlineExceeded,
    DecodeTimeout,
    ImageCorrupt,
    ImageTooManyPixels,
    IndexUnavailable,
    InvalidRequest,
    ItemNotFound,
    NotAnImage,
    NotFound,
    NotReady,
    Overloaded,
    RateLimited,
    ServiceError,
    SpaceMismatch,
    TooLarge,
    UnsupportedFormat,
    UnsupportedMediaType,
)


@dataclass(frozen=True)
class Problem:
    """A failure in a heading and a sentence; after so many seconds a page may try again by itself."""

    heading: str
    advice: str
    again_s: int | None = None


READ = "JPEG, PNG, WebP, GIF, BMP, TIFF and AVIF can be read."
PROBLEMS: dict[type[ServiceError], Problem] = {
    NotReady: Problem("One moment, please", "The search is starting. This page tries again by itself.", 5),
    Overloaded: Problem("Very busy", "Many people are searching right now. Please try again in a few seconds."),
    IndexUnavailable: Problem("Out of reach", "The collection can't be searched right now. Please try again soon."),
    SpaceMismatch: Problem(
        "Being rearranged", "The collection is being prepared for a new way of searching. Please try again later."
    ),
    DeadlineExceeded: Problem("That took too long", "Please try again."),
    ItemNotFound: Problem("Not here", "This picture isn't in the collection, or isn't any more."),
    NotFound: Problem("Not here", "There is no such page."),
    NotAnImage: Problem("That is no picture", f"Please choose another file. {READ}"),
    UnsupportedFormat: Problem("This kind of picture can't be read", f"Please choose another file. {READ}"),
    UnsupportedMediaType: Problem("That is no picture", "Please choose a file on the page."),
    ImageCorrupt: Problem("This picture is damaged", "Please choose another file."),
    ImageTooManyPixels: Problem("This picture is too large", "Please choose one with fewer pixels."),
    DecodeTimeout: Problem("That took too long", "This picture takes too long to read. Please choose another one."),
    RateLimited: Problem("Too many attempts", "Please wait a minute, and try again."),
    InvalidRequest: Problem("That can't be searched for", "Please look at what you have entered, and try again."),
}
DEFECT = Problem("Something went wrong", "It is our fault, and has been noted. Please try again.")


def problem(error: ServiceError, max_image_bytes: int) -> Problem:
    """What a visitor is told of a failure."""
    if isinstance(error, TooLarge):
        return Problem("This file is too large", f"Please choose one of at most {max_image_bytes / MIB:.3g} MB.")
    return next((PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS), DEFECT)
