"""Pictures made small: as files that are never large, the right way up, and in the right proportions."""

import io

import numpy as np
import pytest
from app.images.decode import look
from app.images.thumbnail import MAX_BYTES, Format, Thumbnail, fitted
from PIL import ExifTags, Image

KINDS: list[Format] = ["WEBP", "JPEG"]


def noise(width: int, height: int) -> Image.Image:
    """The worst that an encoder can get."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def encoded(image: Image.Image, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=exif, quality=95)
    return stream.getvalue()


def made(data: bytes, side: int, kind: Format = "WEBP") -> Image.Image:
    """The thumbnail of a file as a browser sees it."""
    _, file = look(data, 50_000_000, Thumbnail(side, kind))
    return Image.open(io.BytesIO(file.tobytes()))


@pytest.mark.parametrize("side", [480, 1280])
@pytest.mark.parametrize("kind", KINDS)
def test_even_noise_fits_into_the_bytes_that_there_are(kind: Format, side: int) -> None:
    assert Thumbnail(side, kind)(noise(1400, 1300)).nbytes <= MAX_BYTES


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_file_of_the_kind_that_was_asked_for(kind: Format) -> None:
    assert made(encoded(noise(60, 40)), 32, kind).format == kind


@pytest.mark.parametrize(
    ("size", "expected"), [((1600, 900), (480, 270)), ((900, 1600), (270, 480)), ((5000, 2), (480, 1))]
)
def test_the_longer_side_is_as_long_as_was_asked_for(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert made(encoded(Image.new("RGB", size)), 480).size == fitted(size, 480) == expected


def test_a_picture_that_is_small_already_isnt_made_larger() -> None:
    assert made(encoded(noise(70, 50)), 480).size == fitted((70, 50), 480) == (70, 50)


@pytest.mark.parametrize("size", [(300, 200), (3000, 2000)])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_it_is_upright_as_exif_has_it(orientation: int, size: tuple[int, int]) -> None:
    upright = Image.new("RGB", size, "blue")
    upright.paste("red", (0, 0, size[0], size[1] // 2))
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]

    small = made(encoded(upright.transpose(back), orientation), 150)

    assert small.size == (150, 100)
    red, _, blue = small.convert("RGB").getpixel((75, 5))  # type: ignore[misc]  # of one band it is a number
    assert red > 200 > 60 > blue


def test_what_was_transparent_lies_on_white() -> None:
    stream = io.BytesIO()
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(stream, "PNG")

    assert made(stream.getvalue(), 32, "JPEG").getpixel((16, 16)) == pytest.approx((255, 255, 255), abs=2)
