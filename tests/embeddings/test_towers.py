"""The towers: `open_clip`'s own vectors, with no more computed than the model's structure asks for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from app.config import Precision
from app.embeddings import EmbeddingModel, original_tokenizer, reference, source
from app.embeddings.preprocess import Preprocessing
from app.embeddings.towers import ImageTower, TextTower, cut_after
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from tests.conftest import SMALL
from tests.embeddings.conftest import MakeModel, texts_by_open_clip

TEXTS = ["", "sea", "a stormy sea", "a crowd of people " * 40]
TOKENIZER = SimpleTokenizer()
PREPROCESSING = Preprocessing(
    64, 64, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), interpolation="bicubic", resize_mode="shortest", fill_color=0
)
FLOOR = 0.999999
FURTHEST = 1e-5
# Sixteen pixels a patch, and the class token.
TOKENS_OF_A_PICTURE = (64 // 16) ** 2 + 1

# Text towers that are read off the end token, layer by layer.
TEXT_TOWERS: dict[str, dict[str, Any]] = {
    "in CLIP itself": {},
    "of its own, read off a token by its id": {
        "model": {"custom_text": True},
        "text": {"pool_type": "eos", "eos_id": 49407},
    },
    "with scaled layers, quick gelu and a biased projection": {
        "model": {"quick_gelu": True},
        "text": {"ls_init_value": 0.5, "proj_bias": True},
    },
    "of one layer, without a projection": {"text": {"layers": 1, "proj_type": "none"}},
}
# Text towers in which more has to be computed, or whose layers are of another kind.
OTHER_TEXT_TOWERS: dict[str, dict[str, Any]] = {
    "causal, read off the last token": {"model": {"custom_text": True}, "text": {"pool_type": "last"}},
    "looks ahead": {"text": {"no_causal_mask": True}},
    "a class token": {"model": {"custom_text": True}, "text": {"embed_cls": True}},
    "normalised queries and keys": {"text": {"qk_norm": True}},
    "scaled attention": {"text": {"scale_attn": True}},
}
IMAGE_TOWERS: dict[str, dict[str, Any]] = {
    "in CLIP": {},
    "beside a text tower of its own": {"model": {"custom_text": True}},
    "normalised after pooling, scaled layers": {"vision": {"final_ln_after_pool": True, "ls_init_value": 0.5}},
    "not normalised before, fixed positions": {"vision": {"no_ln_pre": True, "pos_embed_type": "sin_cos_2d"}},
    "of one layer": {"vision": {"layers": 1}},
}
OTHER_IMAGE_TOWERS: dict[str, dict[str, Any]] = {
    "the mean of all tokens": {"vision": {"pool_type": "avg"}},
    "pooled by attention": {"vision": {"attentional_pool": True, "attn_pooler_heads": 2}},
    "normalised queries and keys": {"vision": {"qk_norm": True}},
}


@torch.no_grad()
def small_model(*, model: Mapping[str, Any] = {}, text: Mapping[str, Any] = {}, vision: Mapping[str, Any] = {}) -> Any:
    """A small model of `open_clip`'s with some of it changed, in which no bias is zero and no norm one."""
    usual: Any = SMALL["model_cfg"]
    own = {"custom_text": False, **model}
    kind = CustomTextCLIP if own.pop("custom_text") else CLIP
    torch.manual_seed(0)
    made = kind(
        embed_dim=usual["embed_dim"],
        vision_cfg=usual["vision_cfg"] | vision,
        text_cfg=usual["text_cfg"] | text,
        **own,
    )
    for weight in made.parameters():
        weight += 0.05 * torch.randn_like(weight)  # a mistake wouldn't show otherwise
    return made.eval()


def rows_computed(layers: Any, tower: torch.nn.Module, batch: torch.Tensor) -> list[int]:
    """How many tokens of a batch each layer computes."""
    counts: list[int] = []
    hooks = [
        layer.mlp.register_forward_hook(lambda _, given, __: counts.append(given[0].shape[:-1].numel()))
        for layer in layers
    ]
    with torch.inference_mode():
        tower(batch)
    for hook in hooks:
        hook.remove()
    return counts


def ids_of(texts: Sequence[str]) -> torch.Tensor:
    """Their ids, as many as the longest text has."""
    ids: torch.Tensor = TOKENIZER(list(texts))
    return ids[:, : int((ids != 0).sum(dim=1).max())]


def text_layers(model: Any) -> Any:
    return getattr(model, "text", model).transformer.resblocks


def text_tower(model: Any, *, starts: bool = True) -> TextTower:
    cut = cut_after(model, original_tokenizer.end_of_text(TOKENIZER)) is not None
    return TextTower(model, cut, original_tokenizer.start_of_text(TOKENIZER) if starts else None).eval()


def image_tower(model: Any, dtype: torch.dtype = torch.float32) -> ImageTower:
    return ImageTower(model, PREPROCESSING, dtype).eval()


def pixels(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def assert_alike(vectors: torch.Tensor, expected: torch.Tensor) -> None:
    assert reference.cosines(vectors.numpy(), expected.numpy()).min() >= FLOOR
    assert (vectors - expected).abs().max() <= FURTHEST * expected.abs().max()


@torch.inference_mode()
def assert_open_clips_pictures(model: Any) -> None:
    tower = image_tower(model)
    scaled = (pixels(3).permute(0, 3, 1, 2).float() / 255 - tower.mean) / tower.std
    assert_alike(tower(pixels(3)), model.encode_image(scaled))


@pytest.mark.parametrize("starts", [True, False], ids=["start known", "start computed"])
@pytest.mark.parametrize("kind", TEXT_TOWERS)
def test_texts_cut_to_any_length_have_open_clips_vectors(kind: str, starts: bool) -> None:
    model = small_model(**TEXT_TOWERS[kind])
    expected = torch.from_numpy(texts_by_open_clip(model, TOKENIZER, TEXTS))
    tower = text_tower(model, starts=starts)

    with torch.inference_mode():
        assert_alike(tower(ids_of(TEXTS)), expected)
        assert_alike(torch.cat([tower(ids_of([text])) for text in TEXTS]), expected)


@pytest.mark.parametrize("kind", TEXT_TOWERS)
def test_the_start_token_is_never_computed_and_in_the_last_layer_only_the_end_token_is(kind: str) -> None:
    model = small_model(**TEXT_TOWERS[kind])
    ids = ids_of(["sea", "a stormy sea"])

    *counts, last = rows_computed(text_layers(model), text_tower(model), ids)

    assert ids.shape == (2, 5)
    assert counts == [2 * 4] * len(counts)
    assert last == 2


def test_a_text_without_words_has_one_token_to_compute() -> None:
    model = small_model()

    assert rows_computed(text_layers(model), text_tower(model), ids_of([""])) == [1, 1]


def test_without_a_fixed_start_token_every_token_is_computed_but_in_the_last_layer() -> None:
    model = small_model()

    counts = rows_computed(text_layers(model), text_tower(model, starts=False), ids_of(["sea", "a stormy sea"]))

    assert counts == [2 * 5, 2]


@pytest.mark.parametrize("kind", OTHER_TEXT_TOWERS)
def test_other_text_towers_compute_every_token_and_have_open_clips_vectors(kind: str) -> None:
    model = small_model(**OTHER_TEXT_TOWERS[kind])
    ids = TOKENIZER(TEXTS)
    tower = text_tower(model)

    with torch.inference_mode():
        assert_alike(tower(ids), model.encode_text(ids))
    assert min(rows_computed(text_layers(model), tower, ids)) >= ids.numel()


def test_only_clips_own_tokenizer_is_known_to_begin_every_text_alike() -> None:
    assert original_tokenizer.start_of_text(TOKENIZER) == 49406
    assert original_tokenizer.start_of_text(HFTokenizer.__new__(HFTokenizer)) is None


@pytest.mark.parametrize("kind", IMAGE_TOWERS)
def test_pictures_have_open_clips_vectors(kind: str) -> None:
    assert_open_clips_pictures(small_model(**IMAGE_TOWERS[kind]))


@pytest.mark.parametrize("kind", IMAGE_TOWERS)
def test_in_the_last_layer_only_the_class_token_of_a_picture_is_computed(kind: str) -> None:
    model = small_model(**IMAGE_TOWERS[kind])

    *counts, last = rows_computed(model.visual.transformer.resblocks, image_tower(model), pixels(3))

    assert counts == [3 * TOKENS_OF_A_PICTURE] * len(counts)
    assert last == 3


@pytest.mark.parametrize("kind", OTHER_IMAGE_TOWERS)
def test_other_image_towers_compute_every_token_and_have_open_clips_vectors(kind: str) -> None:
    model = small_model(**OTHER_IMAGE_TOWERS[kind])

    counts = rows_computed(model.visual.transformer.resblocks, image_tower(model), pixels(3))

    assert counts == [3 * TOKENS_OF_A_PICTURE] * 2
    assert_open_clips_pictures(model)


def test_an_image_tower_that_is_no_transformer_has_open_clips_vectors() -> None:
    assert_open_clips_pictures(small_model(vision={"layers": [1, 1, 1, 1], "width": 32, "head_width": 32}))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@torch.inference_mode()
def test_half_precision_keeps_its_type_and_its_floor(make_model: MakeModel, precision: Precision) -> None:
    name = make_model()
    full, half = source.load(name, "-"), source.load(name, "-", precision)
    ids = ids_of(TEXTS)

    texts, pictures = text_tower(half.model)(ids), image_tower(half.model, source.TYPES[precision])(pixels(3))

    assert {texts.dtype, pictures.dtype} == {source.TYPES[precision]}
    assert reference.cosines(texts.float().numpy(), text_tower(full.model)(ids).numpy()).min() >= 0.9995
    expected = image_tower(full.model)(pixels(3))
    assert reference.cosines(pictures.float().numpy(), expected.numpy()).min() >= 0.9995


def test_exported_a_text_without_words_has_open_clips_vector_beside_others_and_alone(
    model: EmbeddingModel, small_open_clip: Any
) -> None:
    expected = texts_by_open_clip(small_open_clip, TOKENIZER, TEXTS)

    assert reference.cosines(model.embed_texts(TEXTS), expected).min() >= FLOOR
    assert reference.cosines(model.embed_texts(TEXTS[:1]), expected[:1]).min() >= FLOOR
    assert np.isfinite(model.embed_texts(TEXTS[:1])).all()
