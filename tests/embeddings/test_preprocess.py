"""Our preprocessing beside `open_clip`'s own: bit for bit where it is affordable, and in bounded memory where not."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from app.embeddings import EmbeddingModel, reference
from app.embeddings.preprocess import Preprocessing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from tests.embeddings.conftest import noise, pictures_by_open_clip

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
LONGEST_SIDE = 900
WIDEST_WHOLE = 10
BOUND_BYTES = 200_000_000

Mode = Literal["shortest", "longest", "squash"]
Interpolation = Literal["bicubic", "bilinear"]
MODES: list[Mode] = ["shortest", "longest", "squash"]
INTERPOLATIONS: list[Interpolation] = ["bicubic", "bilinear"]
MODEL_SIZES = [(224, 224), (64, 64), (48, 80), (80, 48), (31, 224)]


def preprocessing(
    size: tuple[int, int] = (224, 224),
    mode: Mode = "shortest",
    interpolation: Interpolation = "bicubic",
    fill: int = 0,
) -> Preprocessing:
    return Preprocessing(*size, MEAN, STD, interpolation, mode, fill)


def by_open_clip(ours: Preprocessing, picture: Image.Image) -> torch.Tensor:
    """What `open_clip` makes of a picture for a model with these choices."""
    recorded = PreprocessCfg(
        size=(ours.height, ours.width),
        mean=ours.mean,
        std=ours.std,
        interpolation=ours.interpolation,
        resize_mode=ours.resize_mode,
        fill_color=ours.fill_color,
    )
    tensor: torch.Tensor = image_transform_v2(recorded, is_train=False)(picture)
    return tensor


def scaled(ours: Preprocessing, picture: Image.Image) -> torch.Tensor:
    """Our pixels, scaled and normalised as torch does it."""
    pixels = ours(picture)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (ours.height, ours.width, 3)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (ours.mean, ours.std))
    return (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255 - mean) / std


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    """Width and height of a picture that isn't wider or higher than 10:1."""
    short = draw(st.integers(1, LONGEST_SIDE))
    long = draw(st.integers(short, min(LONGEST_SIDE, WIDEST_WHOLE * short)))
    return draw(st.sampled_from([(short, long), (long, short)]))


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    size=sizes(),
    model_size=st.sampled_from(MODEL_SIZES),
    mode=st.sampled_from(MODES),
    interpolation=st.sampled_from(INTERPOLATIONS),
    fill=st.sampled_from([0, 127]),
)
def test_pixels_reach_the_model_as_open_clip_leaves_them(
    size: tuple[int, int], model_size: tuple[int, int], mode: Mode, interpolation: Interpolation, fill: int
) -> None:
    ours = preprocessing(model_size, mode, interpolation, fill)
    picture = noise(*size)

    assert torch.equal(scaled(ours, picture), by_open_clip(ours, picture))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "size",
    [
        (1, 1),
        (224, 224),
        (223, 224),
        (224, 223),
        (225, 224),
        (1, 10),
        (10, 1),
        (10, 100),
        (2240, 224),
        (224, 2240),
        (3, 2),
    ],
)
def test_pictures_of_corner_sizes_reach_the_model_as_open_clip_leaves_them(
    size: tuple[int, int], mode: Mode, interpolation: Interpolation
) -> None:
    for model_size in ((224, 224), (48, 80)):
        ours = preprocessing(model_size, mode, interpolation)
        picture = noise(*size)

        assert torch.equal(scaled(ours, picture), by_open_clip(ours, picture))


def black_and_white(width: int, height: int) -> Image.Image:
    """What resampling overshoots most on."""
    return noise(width, height).convert("L").point(lambda level: 255 * (level > 127)).convert("RGB")


@pytest.mark.parametrize(
    "size",
    [(1536, 1200), (1200, 1536), (1000, 1500), (1200, 1201), (1003, 2003), (1003, 3001), (3001, 1003), (2000, 300)],
)
@pytest.mark.parametrize("make", [noise, black_and_white])
def test_pictures_as_large_as_photographs_reach_the_model_as_open_clip_leaves_them(
    size: tuple[int, int], make: Callable[[int, int], Image.Image]
) -> None:
    picture = make(*size)

    for model_size in ((224, 224), (48, 80)):
        ours = preprocessing(model_size)
        assert torch.equal(scaled(ours, picture), by_open_clip(ours, picture))


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA"])
@pytest.mark.parametrize("size", [(600, 450), (450, 600)])
def test_pictures_of_other_modes_are_resampled_as_pillow_resamples_them_whole(mode: str, size: tuple[int, int]) -> None:
    ours = preprocessing()
    picture = noise(*size).convert(mode)
    if mode != "L":
        picture.putalpha(noise(*size, seed=1).convert("L"))
    resized = picture.resize((298, 224) if size[0] > size[1] else (224, 298), Image.Resampling.BICUBIC)
    left, top = (resized.width - 224) // 2, (resized.height - 224) // 2

    kept = resized.crop((left, top, left + 224, top + 224)).convert("RGB")
    assert np.array_equal(ours(picture), np.asarray(kept))


def test_a_grey_picture_is_turned_to_colour_where_open_clip_turns_it() -> None:
    ours = preprocessing()
    picture = noise(300, 200).convert("L")

    assert torch.equal(scaled(ours, picture), by_open_clip(ours, picture))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(20, 220), (30, 500), (60, 700), (30, 2000), (8, 2700), (300, 3300)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("make", [noise, black_and_white])
def test_a_picture_beyond_ten_to_one_has_the_vector_that_open_clip_gives_it(
    real: EmbeddingModel,
    real_open_clip: Any,
    make: Callable[[int, int], Image.Image],
    size: tuple[int, int],
    turned: bool,
) -> None:
    width, height = reversed(size) if turned else size
    picture = make(width, height)

    cosine = reference.cosines(real.embed_images([picture]), pictures_by_open_clip(real_open_clip, [picture]))

    assert cosine.min() >= 0.9999


@pytest.mark.parametrize("model_size", [(64, 64), (48, 80), (80, 48)])
@pytest.mark.parametrize("size", [(11, 122), (20, 1000), (64, 2700), (300, 3001), (90, 90_000)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_smooth_picture_beyond_ten_to_one_differs_from_open_clips_by_roundings_at_most(
    model_size: tuple[int, int], size: tuple[int, int], turned: bool
) -> None:
    # Pillow chooses by the sizes which way it resamples first, and clips what overshoots in between: noise shows that.
    ours = preprocessing(model_size)
    width, height = reversed(size) if turned else size
    picture = noise(width // 8 + 1, height // 8 + 1).resize((width, height), Image.Resampling.BILINEAR)

    difference = (scaled(ours, picture) - by_open_clip(ours, picture)).abs() * torch.tensor(STD).view(3, 1, 1) * 255

    assert difference.max() < 2.01


def test_every_mode_gives_a_sliver_the_models_size() -> None:
    for mode in MODES:
        for model_size in MODEL_SIZES:
            for size in ((1, 5000), (5000, 1)):
                assert preprocessing(model_size, mode)(noise(*size)).shape == (*model_size, 3)


GROWTH = """
import re, sys
from pathlib import Path
import numpy as np
from PIL import Image
from app.embeddings.preprocess import Preprocessing

def most() -> int:
    # Not getrusage's: that one starts at what the parent of this process used.
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

width, height, mode = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), "RGB")
before = most()
pixels = Preprocessing(224, 224, (0.5,) * 3, (0.5,) * 3, "bicubic", mode, 0)(picture)
assert pixels.shape == (224, 224, 3)
print(most() - before)
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("width", "height"), [(1, 20_000), (20_000, 1)])
def test_a_picture_of_one_by_twenty_thousand_stays_within_bounded_memory(width: int, height: int, mode: Mode) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, str(width), str(height), mode], capture_output=True, text=True, check=True
    )

    assert int(done.stdout) < BOUND_BYTES
