"""Bytes to pictures: every kind that is read, and what is done to it first."""

import io
from typing import Any

import numpy as np
import pytest
from app.errors import ImageCorrupt, ImageTooManyPixels, NotAnImage, UnsupportedFormat
from app.images.decode import decode
from PIL import Image

LIMIT = 10_000_000
RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def colour(image: Image.Image, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    found = image.getpixel(at)
    assert isinstance(found, tuple)
    return tuple(int(value) for value in found)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_promised_format_is_read(kind: str) -> None:
    picture = decode(encoded(Image.new("RGB", (40, 30), RED), kind), LIMIT)

    assert (picture.image.mode, picture.width, picture.height) == ("RGB", 40, 30)
    assert np.allclose(colour(picture.image, (20, 15)), RED, atol=6)


@pytest.mark.parametrize("kind", ["ICO", "PPM", "TGA", "JPEG2000", "PDF", "EPS", "PCX"])
def test_no_other_format_reaches_a_decoder(kind: str) -> None:
    with pytest.raises((NotAnImage, UnsupportedFormat)):
        decode(encoded(Image.new("RGB", (40, 30), RED), kind), LIMIT)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_the_way_its_camera_was_held(orientation: int) -> None:
    upright = Image.new("RGB", (40, 20), WHITE)
    upright.paste(RED, (0, 0, 20, 10))
    turns = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for turn in turns[orientation]:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation

    picture = decode(encoded(stored, exif=exif), LIMIT)

    assert (picture.width, picture.height) == (40, 20)
    assert picture.image.tobytes() == upright.tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    clear = (0, 0, 0, 0) if mode == "RGBA" else (0, 0)

    assert colour(decode(encoded(Image.new(mode, (4, 4), clear)), LIMIT).image) == WHITE


def test_a_transparent_colour_of_a_palette_is_laid_on_white() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])

    assert colour(decode(encoded(image, transparency=1), LIMIT).image) == WHITE
    assert colour(decode(encoded(image, transparency=0), LIMIT).image) == (10, 20, 30)


def test_a_half_transparent_colour_is_mixed_with_white() -> None:
    assert colour(decode(encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 128))), LIMIT).image) == (255, 127, 127)


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    deep = Image.fromarray(np.array([[0, 257 * 10, 257 * 128, 65535]], np.uint16))

    image = decode(encoded(deep), LIMIT).image

    assert [colour(image, (x, 0))[0] for x in range(4)] == [0, 10, 128, 255]


@pytest.mark.parametrize(("brightest", "expected"), [(1.0, 255), (0.5, 128), (300.0, 255)])
def test_fractions_are_scaled_and_not_clipped(brightest: float, expected: int) -> None:
    image = decode(encoded(Image.fromarray(np.full((2, 2), brightest, np.float32)), "TIFF"), LIMIT).image

    assert colour(image) == (expected,) * 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_other_colour_models_become_rgb(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"

    assert decode(encoded(Image.new("RGB", (4, 4), RED).convert(mode), kind), LIMIT).image.mode == "RGB"


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_picture_of_an_animation_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), shade) for shade in (RED, WHITE)]

    picture = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]), LIMIT)

    assert np.allclose(colour(picture.image), RED, atol=6)


def test_a_picture_over_the_limit_is_refused_by_its_header_alone() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)))

    with pytest.raises(ImageTooManyPixels):
        decode(bomb, LIMIT)


def test_a_picture_at_the_limit_is_read() -> None:
    assert decode(encoded(Image.new("RGB", (100, 10))), 1000).width == 100


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_a_truncated_picture_is_corrupt(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)

    with pytest.raises((ImageCorrupt, NotAnImage)):
        decode(data[: len(data) // 2], LIMIT)


@pytest.mark.parametrize("head", [b"\x00\x00\x00\x18ftypheic", b"8BPS\x00\x01", b"%!PS-Adobe", b"<svg xmlns=''>"])
def test_a_picture_of_another_format_is_said_to_be_one(head: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        decode(head + bytes(100), LIMIT)


@pytest.mark.parametrize("data", [b"", b"\x00", b"GIF", b"hello", b"PK\x03\x04", b"%PDF-1.4", b"<html>"])
def test_what_is_no_picture_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        decode(data, LIMIT)
