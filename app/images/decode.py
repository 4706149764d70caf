"""Bytes to an RGB picture: judged by content, checked before it is decoded, turned the way it is meant to be seen."""

import io
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from PIL import AvifImagePlugin, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from app.errors import ImageCorrupt, ImageTooManyPixels, NotAnImage, UnsupportedFormat

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


@dataclass(frozen=True)
class Picture:
    """A decoded picture in RGB, upright; `sha256` is of the bytes that it came as."""

    image: Image.Image
    sha256: str

    @property
    def width(self) -> int:
        """Width as displayed."""
        return self.image.width

    @property
    def height(self) -> int:
        """Height as displayed."""
        return self.image.height


def decode(data: bytes, max_pixels: int) -> Picture:
    """Decode an image; of an animation the first frame. Later ones aren't looked at, nor counted: that costs more.

    Raises:
        ImageError: it isn't one, can't be read, or is too large; the kind says which.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > max_pixels:
            raise ImageTooManyPixels(f"The image has more than {max_pixels} pixels.")
        if max(image.size) > LONGEST_SIDE:
            raise ImageTooManyPixels(f"The image has more than {LONGEST_SIDE} pixels on a side.")
        image.load()
        return Picture(_rgb(ImageOps.exif_transpose(image)), sha256(data).hexdigest())
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except ImageTooManyPixels:
        raise
    except Exception as error:  # decoders raise whatever they like at damaged files
        raise ImageCorrupt("The image is damaged.") from error


def _rgb(image: Image.Image) -> Image.Image:
    """Eight bits of red, green and blue, with transparency laid on white."""
    if image.mode.startswith(("I", "F")):
        image = _scaled_to_8_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image).convert("RGB")
    return image.convert("RGB")


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
