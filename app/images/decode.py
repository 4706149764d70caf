"""Bytes to an RGB picture: judged by content, checked before it is decoded, turned the way it is meant to be seen."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from app.errors import ImageCorrupt, ImageTooManyPixels, NotAnImage, UnsupportedFormat

Pixels = NDArray[np.uint8]
Size = tuple[int, int]
Box = tuple[float, float, float, float]

# Nothing else reaches a decoder. Pillow knows the last three once their modules are imported.
FORMATS = (
    "JPEG", "PNG", "GIF", "BMP",
    TiffImagePlugin.TiffImageFile.format, WebPImagePlugin.WebPImageFile.format, AvifImagePlugin.AvifImageFile.format,
)  # fmt: skip
# How formats that are pictures, but none of ours, begin.
OTHER_FORMATS = (b"%!PS", b"8BPS", b"\x00\x00\x01\x00", b"<svg", b"\xff\x0a", b"\x00\x00\x00\x0cJXL ", b"qoif", b"P6")
OTHER_BRANDS = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypjp2 ")

# No encoder of JPEG goes further, and no picture that is one. Resizing costs tables as long as the sides.
LONGEST_SIDE = 65_500

Image.MAX_IMAGE_PIXELS = None  # the limit is ours to check; Pillow's own would only warn
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # by default every picture would take every core

WHITE = (255, 255, 255, 255)


# Of EXIF's orientations: those that exchange the sides, and those that bring to the left, or to the top, what is
# stored at the far end of a side.
SIDEWAYS = (5, 6, 7, 8)
LEFT_IS_FAR = (2, 3, 6, 7)
TOP_IS_FAR = (3, 4, 7, 8)


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright; width and height are as displayed."""

    # In RGB. A reduction of the picture, if that was asked for.
    image: Image.Image
    width: int
    height: int
    # Where the picture lies in a reduction: its edges may be within a pixel. None: `image` is the picture itself.
    area: Box | None = None


@runtime_checkable
class Frugal(Protocol):
    """What a model wants of a picture, where a reduction of it will do."""

    @property
    def enough(self) -> int:
        """How many pixels a reduction must at least have on each side."""

    def of_reduced(self, image: Image.Image, size: Size, area: Box) -> Pixels:
        """The pixels, from an image in which a picture of `size` lies reduced to `area`."""


def look(data: bytes, max_pixels: int, preprocess: Callable[[Image.Image], Pixels]) -> tuple[Picture, Pixels]:
    """Decode an image, as far as `preprocess` needs it, and make of it what a model wants.

    Raises:
        ImageError: as `decode` does.
    """
    picture = decode(data, max_pixels, preprocess.enough if isinstance(preprocess, Frugal) else None)
    if isinstance(preprocess, Frugal) and picture.area is not None:
        return picture, preprocess.of_reduced(picture.image, (picture.width, picture.height), picture.area)
    return picture, preprocess(picture.image)


def decode(data: bytes, max_pixels: int, enough: int | None = None) -> Picture:
    """Decode an image; of an animation the first frame. Later ones aren't looked at, nor counted: that costs more.

    Args:
        data: the image as it was sent.
        max_pixels: more than these are refused.
        enough: a JPEG is decoded to a half, quarter or eighth of its sides, if so many pixels are left on each.

    Raises:
        ImageError: it isn't one, can't be read, or is too large; the kind says which.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        size = image.size
        if image.width * image.height > max_pixels:
            raise ImageTooManyPixels(f"The image has more than {max_pixels} pixels.")
        if max(image.size) > LONGEST_SIDE:
            raise ImageTooManyPixels(f"The image has more than {LONGEST_SIDE} pixels on a side.")
        draft = None if enough is None else image.draft(None, (enough, enough))  # None too for all that is no JPEG
        image.load()
        area = None
        if draft is not None and image.size != size:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            size, area = _as_displayed(size, image.size, draft[1], orientation)
        # In place, as it would otherwise copy a picture that is upright already.
        ImageOps.exif_transpose(image, in_place=True)
        rgb = _rgb(image)
        width, height = rgb.size if area is None else size
        return Picture(rgb, width, height, area)
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except ImageTooManyPixels:
        raise
    except Exception as error:  # decoders raise whatever they like at damaged files
        raise ImageCorrupt("The image is damaged.") from error


def _as_displayed(size: Size, reduced: Size, filled: Box, orientation: int) -> tuple[Size, Box]:
    """A picture's size, and where it lies in its reduction, once both are turned as an orientation has it.

    A reduction has whole pixels: at the far end of a side there may be part of one more than the picture fills.
    """
    sides = list(zip(size, reduced, filled[2:], strict=True))
    (width, columns, across), (height, rows, down) = reversed(sides) if orientation in SIDEWAYS else sides
    left = columns - across if orientation in LEFT_IS_FAR else 0
    top = rows - down if orientation in TOP_IS_FAR else 0
    return (width, height), (left, top, left + across, top + down)


def _rgb(image: Image.Image) -> Image.Image:
    """Eight bits of red, green and blue, with transparency laid on white."""
    if image.mode.startswith(("I", "F")):
        image = _scaled_to_8_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _scaled_to_8_bits(image: Image.Image) -> Image.Image:
    """Pillow would clip at 255. Whole numbers have 16 bits; fractions are of [0, 1] or are brought there."""
    values = np.asarray(image, dtype=np.float64)
    if image.mode == "F":
        values = np.nan_to_num(values) * (255 if np.nanmax(values, initial=0) <= 1 else 255 / np.nanmax(values))
    else:
        values = values / 257
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8), "L")


def _unidentified(data: bytes) -> NotAnImage | UnsupportedFormat:
    head = data[:64].lstrip()
    if head.startswith(OTHER_FORMATS) or any(brand in head[:16] for brand in OTHER_BRANDS):
        return UnsupportedFormat("The image's format is not read: send JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF.")
    return NotAnImage("The bytes are not an image.")
