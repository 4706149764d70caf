"""Bytes to pictures: every kind that is read, and what is done to it first."""

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from app.errors import ImageCorrupt, ImageError, ImageTooManyPixels, NotAnImage, UnsupportedFormat
from app.images.decode import Picture, decode
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

LIMIT = 10_000_000
RED, WHITE = (255, 0, 0), (255, 255, 255)
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def colour(image: Image.Image, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    found = image.getpixel(at)
    assert isinstance(found, tuple)
    return tuple(int(value) for value in found)


def decoded(data: bytes) -> Picture | None:
    """A picture that can be worked with, or nothing if it was refused; whatever else is raised fails the test."""
    try:
        reduced = decode(data, 100_000, enough=4)
        left, top, right, bottom = reduced.area or (0, 0, *reduced.image.size)
        assert 0 <= left < right <= reduced.image.width
        assert 0 <= top < bottom <= reduced.image.height
    except ImageError:
        reduced = None
    try:
        picture = decode(data, 100_000)
    except ImageError:
        return None
    assert reduced is None or (reduced.width, reduced.height) == (picture.width, picture.height)
    assert picture.image.mode == "RGB"
    assert len(picture.image.tobytes()) == 3 * picture.width * picture.height <= 300_000
    return picture


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *, interlaced: bool = False) -> bytes:
    """A PNG as its specification has it, of depths and kinds that Pillow doesn't write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "TIFF"])
def test_other_formats_say_how_their_camera_was_held_as_well(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (48, 32), WHITE)
    stored.paste(RED, (0, 0, 24, 16))
    corner = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}[orientation]

    image = decode(encoded(stored, kind, exif=exif), LIMIT).image

    assert image.size == ((48, 32) if orientation < 5 else (32, 48))
    quarters = [(image.width * (2 * x + 1) // 4, image.height * (2 * y + 1) // 4) for x in (0, 1) for y in (0, 1)]
    red = image.width * (2 * corner[0] + 1) // 4, image.height * (2 * corner[1] + 1) // 4
    assert [at for at in quarters if colour(image, at)[1] < 128] == [red]


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


@pytest.mark.parametrize(("depth", "value"), [(1, 0x80), (2, 0xC0), (4, 0xF0), (8, 0xFF), (16, 0xFFFF)])
def test_grey_of_every_depth_goes_from_black_to_white(depth: int, value: int) -> None:
    row = value.to_bytes(2 if depth == 16 else 1, "big") + (bytes(2) if depth == 16 else bytes(1))

    image = decode(png(2, 1, depth, 0, b"\x00" + row), LIMIT).image

    assert (colour(image), colour(image, (1, 0))) == (WHITE, (0, 0, 0))


@pytest.mark.parametrize(
    ("kind", "pixel", "expected"),
    [
        (2, (65535, 32896, 0), (255, 128, 0)),
        (4, (32896, 65535), (128, 128, 128)),
        (4, (32896, 0), WHITE),
        (6, (65535, 32896, 0, 65535), (255, 128, 0)),
        (6, (65535, 32896, 0, 0), WHITE),
    ],
    ids=["RGB", "grey, opaque", "grey, clear", "RGBA, opaque", "RGBA, clear"],
)
def test_sixteen_bits_of_every_kind_of_png_are_read(
    kind: int, pixel: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert (
        colour(decode(png(1, 1, 16, kind, b"\x00" + struct.pack(f">{len(pixel)}H", *pixel)), LIMIT).image) == expected
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"])
def test_every_mode_that_tiff_has_becomes_rgb(mode: str) -> None:
    assert decode(encoded(Image.new(mode, (5, 3)), "TIFF"), LIMIT).image.mode == "RGB"


def test_an_interlaced_png_is_read() -> None:
    first_pass = b"\x00" + bytes(RED)  # of a picture of one pixel there is no more

    assert colour(decode(png(1, 1, 8, 2, first_pass, interlaced=True), LIMIT).image) == RED


def test_an_interlaced_png_has_the_pixels_of_a_plain_one() -> None:
    values = np.arange(64, dtype=np.uint8).reshape(8, 8)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    woven = b"".join(
        b"\x00" + row.tobytes() for top, left, down, across in passes for row in values[top::down, left::across]
    )

    image = decode(png(8, 8, 8, 0, woven, interlaced=True), LIMIT).image

    assert np.array_equal(np.asarray(image)[:, :, 0], values)


def test_a_progressive_jpeg_has_the_pixels_of_a_plain_one() -> None:
    plain, progressive = (decode(encoded(NOISE, "JPEG", progressive=choice), LIMIT).image for choice in (False, True))

    assert plain.tobytes() == progressive.tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1)])
def test_the_smallest_pictures_are_read(kind: str, size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("RGB", size, RED), kind), LIMIT).image.size == size


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1), (1, 65_500)])
def test_a_picture_may_be_very_narrow(size: tuple[int, int]) -> None:
    assert decode(encoded(Image.new("RGB", size, RED)), LIMIT).image.size == size


@pytest.mark.parametrize("size", [(1, 65_501), (65_501, 1)])
def test_a_side_longer_than_that_of_any_picture_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooManyPixels):
        decode(encoded(Image.new("1", size)), LIMIT)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_picture_of_an_animation_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), shade) for shade in (RED, WHITE)]

    picture = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]), LIMIT)

    assert np.allclose(colour(picture.image), RED, atol=6)


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_what_follows_the_first_picture_of_an_animation_is_not_looked_at(kind: str) -> None:
    alone = encoded(NOISE, kind)
    data = encoded(NOISE, kind, save_all=True, append_images=[NOISE.rotate(90)] * 3)
    damaged = data[: len(alone) + 300] + b"\xff" * (len(data) - len(alone) - 300)

    assert decode(damaged, LIMIT).image.tobytes() == decode(alone, LIMIT).image.tobytes()


def test_a_picture_over_the_limit_is_refused_by_its_header_alone() -> None:
    bomb = png(20_000, 20_000, 1, 0, b"")

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


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_cut_anywhere_is_a_picture_or_refused(kind: str) -> None:
    data = encoded(NOISE, kind)

    for length in range(0, len(data), 10):
        decoded(data[:length])
    assert decoded(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_with_a_byte_turned_over_is_a_picture_or_refused(kind: str) -> None:
    data = encoded(NOISE, kind)

    for at in range(min(len(data), 200)):
        decoded(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_a_picture_changes_nothing(kind: str) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.html", "<script>alert(1)</script>")
    data = encoded(NOISE, kind)

    assert decode(data + archive.getvalue(), LIMIT).image.tobytes() == decode(data, LIMIT).image.tobytes()


def test_a_picture_within_a_file_of_another_kind_is_not_looked_for() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("picture.png", encoded(NOISE))

    for head in (archive.getvalue(), b"%PDF-1.4\n" + encoded(NOISE, "JPEG"), b"<html>" + encoded(NOISE)):
        with pytest.raises(NotAnImage):
            decode(head, LIMIT)


@pytest.mark.parametrize("head", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_drawing_is_of_a_format_that_is_not_read(head: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        decode(head, LIMIT)


SOFT = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("enough", "left"),
    [(401, (1201, 801)), (400, (601, 401)), (201, (601, 401)), (200, (301, 201)), (100, (151, 101)), (1, (151, 101))],
)
def test_a_jpeg_is_reduced_as_far_as_enough_is_left(enough: int, left: tuple[int, int]) -> None:
    data = encoded(SOFT.resize((1201, 801)), "JPEG")

    picture = decode(data, LIMIT, enough)

    assert picture.image.size == left
    assert (picture.width, picture.height) == (1201, 801)
    assert (picture.area is None) == (left == (1201, 801))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduction_lies_where_the_picture_is_once_that_is_turned(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(SOFT.resize((1201, 805), Image.Resampling.BICUBIC), "JPEG", quality=95, exif=exif)
    whole, reduced = decode(data, LIMIT).image, decode(data, LIMIT, enough=100)
    assert reduced.image.size == ((151, 101) if orientation < 5 else (101, 151))

    alike = reduced.image.resize((48, 32), Image.Resampling.BICUBIC, box=reduced.area)

    assert (reduced.width, reduced.height) == whole.size
    difference = np.asarray(alike, int) - np.asarray(whole.resize((48, 32), Image.Resampling.BICUBIC), int)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"progressive": True}),
        ("L", {}),
        ("L", {"progressive": True}),
        ("CMYK", {}),
        ("RGB", {"subsampling": 0}),
    ],
)
def test_jpegs_of_every_kind_are_reduced(mode: str, options: dict[str, Any]) -> None:
    data = encoded(SOFT.resize((1200, 800), Image.Resampling.BICUBIC).convert(mode), "JPEG", quality=95, **options)
    whole = decode(data, LIMIT).image.resize((48, 32), Image.Resampling.BICUBIC)

    reduced = decode(data, LIMIT, enough=100).image

    assert (reduced.mode, reduced.size) == ("RGB", (150, 100))
    alike = reduced.resize((48, 32), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(alike, int) - np.asarray(whole, int)).max() <= 2


def test_a_camera_s_file_of_several_pictures_is_reduced_like_a_jpeg() -> None:
    frames = [SOFT.resize((400, 300)), Image.new("RGB", (400, 300), RED)]

    picture = decode(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:]), LIMIT, enough=100)

    assert (picture.image.size, picture.width, picture.height) == ((200, 150), 400, 300)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "JPEG"])
def test_what_is_no_jpeg_is_never_reduced(kind: str) -> None:
    data = encoded(NOISE, kind)

    picture = decode(data, LIMIT, enough=1)

    assert picture.area is None
    assert picture.image.tobytes() == decode(data, LIMIT).image.tobytes()


def test_a_small_jpeg_keeps_its_pixels_where_a_reduction_would_do() -> None:
    data = encoded(NOISE, "JPEG")

    picture = decode(data, LIMIT, enough=13)

    assert picture.area is None
    assert picture.image.tobytes() == decode(data, LIMIT).image.tobytes()


def test_a_jpeg_over_the_limit_is_refused_though_its_reduction_would_not_be() -> None:
    with pytest.raises(ImageTooManyPixels):
        decode(encoded(Image.new("RGB", (100, 100)), "JPEG"), 9_999, enough=10)


def test_a_truncated_jpeg_is_corrupt_where_a_reduction_would_do() -> None:
    data = encoded(NOISE.resize((320, 240)), "JPEG")

    with pytest.raises(ImageCorrupt):
        decode(data[: len(data) // 2], LIMIT, enough=10)


def test_a_picture_that_is_not_turned_and_is_rgb_already_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def copied(*_: Any) -> None:
        raise AssertionError("copied")

    data = encoded(NOISE, "JPEG")
    monkeypatch.setattr(Image.Image, "copy", copied)

    assert decode(data, LIMIT).image.size == NOISE.size


HEADS = [b"", *(encoded(NOISE, kind)[:40] for kind in KINDS)]


@given(st.sampled_from(HEADS), st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_picture_or_refused(head: bytes, rest: bytes) -> None:
    decoded(head + rest)


FILES = [encoded(NOISE, kind) for kind in KINDS]
FILES += [encoded(NOISE, "JPEG", progressive=True), encoded(NOISE.convert("P"), "PNG"), encoded(NOISE.convert("LA"))]
FILES += [encoded(NOISE, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")]


@given(st.sampled_from(FILES), st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=8)), max_size=6))
@settings(max_examples=500, deadline=None)
def test_a_file_with_bytes_replaced_is_a_picture_or_refused(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    for at, new in changes:
        place = at % len(data)
        data = data[:place] + new + data[place + len(new) :]
    decoded(data)
