"""`DECODING=fast`: vectors that are near, of another space, and only where it was asked for."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.config import DEMONSTRATION, Settings
from app.demo.painter import paint
from app.demo.scene import imagine
from app.embeddings import EmbeddingModel, reference
from app.embeddings.model import prepare
from app.embeddings.preprocess import FrugalPreprocessing, Preprocessing
from app.images.decode import look
from PIL import Image

from tests.embeddings.conftest import noise

LIMIT = 10_000_000
SIZE = 1003
# Trained weights see more than random ones do. Over many pictures the lowest was 0.9994 (docs/configuration.md).
FLOOR = 0.999


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


def bundled(**changes: Any) -> EmbeddingModel:
    return EmbeddingModel(DEMONSTRATION, "bundled", settings=Settings.load(precision="float32", **changes))


@pytest.fixture(scope="module")
def exact() -> EmbeddingModel:
    return bundled()


@pytest.fixture(scope="module")
def fast() -> EmbeddingModel:
    return bundled(decoding="fast")


@pytest.fixture(scope="module")
def painting() -> Image.Image:
    return paint(imagine(0), SIZE)


def test_fast_vectors_are_of_another_space_which_is_always_the_same(
    exact: EmbeddingModel, fast: EmbeddingModel
) -> None:
    assert fast.space != exact.space
    assert len(fast.space) == len(exact.space)
    assert bundled(decoding="fast").space == fast.space


def test_every_model_has_a_fast_space_of_its_own_and_is_exported_once(
    model: EmbeddingModel, fast: EmbeddingModel, small: str, cache: Path
) -> None:
    before = sorted(cache.iterdir())
    settings = Settings.load(model_name=small, pretrained="-", model_cache_dir=cache, decoding="fast")

    prepared = prepare(settings)

    assert prepared.folder == cache / model.space
    assert prepared.manifest.space not in (model.space, fast.space)
    assert sorted(cache.iterdir()) == before


def test_decoding_is_exact_unless_something_else_is_asked_for(exact: EmbeddingModel, painting: Image.Image) -> None:
    picture, pixels = look(jpeg(painting), LIMIT, exact.preprocessing)

    assert picture.area is None
    assert np.array_equal(pixels, exact.preprocessing(picture.image))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_fast_vectors_of_jpegs_are_near_the_exact_ones(
    exact: EmbeddingModel, fast: EmbeddingModel, painting: Image.Image, mode: str, options: dict[str, Any]
) -> None:
    data = jpeg(painting.convert(mode), **options)
    picture, reduced = look(data, LIMIT, fast.preprocessing)
    _, whole = look(data, LIMIT, exact.preprocessing)
    assert picture.image.size == (painting.width // 4 + 1, painting.height // 4 + 1)

    cosine = reference.cosines(fast.embed_pixels([reduced]), exact.embed_pixels([whole]))

    assert FLOOR <= cosine.min() < 1 - 1e-9
    assert (picture.width, picture.height) == painting.size


def test_texts_have_the_vectors_that_they_have_in_the_exact_space(exact: EmbeddingModel, fast: EmbeddingModel) -> None:
    assert np.array_equal(fast.embed_texts(reference.TEXTS[:3]), exact.embed_texts(reference.TEXTS[:3]))


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("model_size", [(64, 64), (48, 80), (80, 48)])
@pytest.mark.parametrize("size", [(1001, 769), (769, 1001), (657, 3001), (3001, 657), (1201, 1201)])
@pytest.mark.parametrize("orientation", [1, 8])
def test_fast_pixels_are_near_the_exact_ones_for_every_model(
    mode: Any, model_size: tuple[int, int], size: tuple[int, int], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    soft = noise(size[0] // 100, size[1] // 100).resize(size, Image.Resampling.BICUBIC)
    data = jpeg(soft, exif=exif)
    ours = Preprocessing(*model_size, (0, 0, 0), (1, 1, 1), "bicubic", mode, 127)

    picture, fast = look(data, LIMIT, FrugalPreprocessing(**vars(ours)))
    whole, exact = look(data, LIMIT, ours)

    assert picture.area is not None
    assert (picture.width, picture.height) == whole.image.size
    assert fast.shape == exact.shape == (*model_size, 3)
    assert np.abs(fast.astype(int) - exact.astype(int)).max() <= 4


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(600, 450), (450, 600)])
def test_of_a_reduction_only_the_picture_s_area_is_taken(mode: Any, size: tuple[int, int]) -> None:
    ours = FrugalPreprocessing(64, 64, (0, 0, 0), (1, 1, 1), "bicubic", mode, 127)
    soft = noise(size[0] // 100, size[1] // 100).resize(size, Image.Resampling.BICUBIC)
    left, top = 40, 30
    wider = Image.fromarray(np.pad(np.asarray(soft), ((top, 20), (left, 10), (0, 0)), "edge"))

    pixels = ours.of_reduced(wider, size, (left, top, left + size[0], top + size[1]))

    assert np.abs(pixels.astype(int) - ours(soft).astype(int)).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_what_is_no_jpeg_keeps_its_pixels(fast: EmbeddingModel, exact: EmbeddingModel, kind: str) -> None:
    stream = io.BytesIO()
    noise(640, 480).save(stream, kind)

    _, pixels = look(stream.getvalue(), LIMIT, fast.preprocessing)

    assert np.array_equal(pixels, look(stream.getvalue(), LIMIT, exact.preprocessing)[1])


def test_a_jpeg_without_pixels_to_spare_keeps_its_pixels(fast: EmbeddingModel, exact: EmbeddingModel) -> None:
    data = jpeg(noise(500, 4 * exact.preprocessing.height - 1))

    _, pixels = look(data, LIMIT, fast.preprocessing)

    assert np.array_equal(pixels, look(data, LIMIT, exact.preprocessing)[1])


def test_a_picture_that_was_decoded_elsewhere_keeps_its_pixels(fast: EmbeddingModel, exact: EmbeddingModel) -> None:
    picture = noise(900, 700)

    assert np.array_equal(fast.preprocessing(picture), exact.preprocessing(picture))
