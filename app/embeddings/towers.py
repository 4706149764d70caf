"""The two halves of an `open_clip` model as plain functions of ids and bytes, for export and for the torch engine.

Needs torch; nothing that serves on a CPU imports this module.
"""

from typing import Any, cast

import torch
from open_clip.hf_model import ClsLastHiddenStatePooler, ClsPooler, HFTextEncoder, MeanPooler
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.transformer import TextTransformer, VisionTransformer

from app.embeddings.layers import advanced, keys_and_values, plain
from app.embeddings.preprocess import Preprocessing

# What reads a vector off the tokens that count, wherever padding ends.
POOLERS_OF_MASKED_PADDING = (MeanPooler, ClsPooler, ClsLastHiddenStatePooler)


def masks_padding(model: torch.nn.Module, padding: int) -> bool:
    """Whether padding after a text is masked, so that its length changes no vector."""
    text = getattr(model, "text", None)
    return (
        isinstance(text, HFTextEncoder)
        and text.config.pad_token_id == padding
        and isinstance(text.pooler, POOLERS_OF_MASKED_PADDING)
    )


def cut_after(model: torch.nn.Module, end: int | None) -> int | None:
    """The token after which a text may be cut without changing its vector, or None if the model forbids it.

    It may where no token looks ahead (a causal mask) and the vector is read off the end token.
    """
    text = _text_transformer(model)
    if text is None or text.attn_mask is None or getattr(text, "cls_emb", None) is not None:
        return None
    pool = model.text_pool_type if isinstance(model, CLIP) else text.pool_type
    if pool == "argmax":
        return end if end == text.vocab_size - 1 else None
    if pool == "eos":
        eos = model.text_eos_id if isinstance(model, CLIP) else text.eos_id
        return end if end == eos else None
    return None


class TextTower(torch.nn.Module):
    """(n, length) ids to (n, dimensions) vectors; of any length where the model allows cutting or masks padding."""

    # How many ids a text has at least.
    shortest: int
    start: torch.Tensor | None

    def __init__(self, model: torch.nn.Module, cut: bool, start: int | None = None) -> None:
        """Take a model's text half.

        Args:
            model: the model, whose weights mustn't change any more if there is a `start`.
            cut: whether `cut_after` allows to cut.
            start: the id that begins every text, if one does.
        """
        super().__init__()
        self.model = model
        self.cut = cut
        text = _text_transformer(model)
        self.by_layer = cut and text is not None and plain(text.transformer)
        known = self.by_layer and start is not None
        self.register_buffer("start", _start_in_all_layers(text, start) if known else None)
        self.shortest = 2 if known else 1

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if not self.cut:
            whole: torch.Tensor = cast(Any, self.model).encode_text(ids)
            return whole
        text = _text_transformer(self.model)
        assert text is not None
        # Layer norm works on each token alone, so that it is enough to pick the token first.
        pooled: torch.Tensor = text.ln_final(
            self._ends(text, ids) if self.by_layer else _ends_by_its_own_forward(text, ids)
        )
        projection: torch.nn.Linear | torch.Tensor | None = text.text_projection
        if projection is None:
            return pooled
        projected: torch.Tensor = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
        return projected

    def _ends(self, text: Any, ids: torch.Tensor) -> torch.Tensor:
        """What the end tokens come to: the only ones computed in the last layer, where nothing else is read.

        Nor is the start token computed, which looks at nothing but itself and so is the same in every text.
        """
        count, length = ids.shape
        known = 0 if self.start is None else 1
        ids = ids[:, known:]
        states = _embedded(text, ids, known)
        mask = text.attn_mask[known:length, :length].to(states.dtype)
        ends = _places_of_ends(text, ids)
        *layers, last = text.transformer.resblocks
        starts = [None] * (len(layers) + 1) if self.start is None else self.start.expand(-1, -1, count, -1, -1).unbind()
        tokens = states.flatten(0, 1)
        for layer, start in zip(layers, starts, strict=False):
            tokens = advanced(layer, tokens, tokens, count, mask, start)
        picked = tokens.reshape(states.shape)[torch.arange(count, device=ids.device), ends]
        return advanced(last, picked, tokens, count, mask[ends, None, None], starts[-1])


class ImageTower(torch.nn.Module):
    """(n, height, width, 3) bytes of RGB to (n, dimensions) vectors, scaling and normalising included."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: torch.nn.Module, preprocessing: Preprocessing, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype
        self.by_layer = _is_read_off_the_class_token(model)
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scaled = ((pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std).to(self.dtype)
        model = cast(Any, self.model)
        vectors: torch.Tensor = _by_class_token(model.visual, scaled) if self.by_layer else model.encode_image(scaled)
        return vectors


def _by_class_token(visual: Any, pictures: torch.Tensor) -> torch.Tensor:
    """What a `VisionTransformer` gives, its last layer computed for the class token alone."""
    states = visual._embeds(pictures)
    count = pictures.shape[0]
    *layers, last = visual.transformer.resblocks
    tokens = states.flatten(0, 1)
    for layer in layers:
        tokens = advanced(layer, tokens, tokens, count)
    first = advanced(last, tokens.reshape(states.shape)[:, 0], tokens, count)
    pooled: torch.Tensor = visual.ln_post(first)
    return pooled if visual.proj is None else pooled @ visual.proj


def _is_read_off_the_class_token(model: torch.nn.Module) -> bool:
    visual = cast(Any, model).visual
    return (
        type(model) in (CLIP, CustomTextCLIP)  # whose vectors are what the tower gives
        and type(visual) is VisionTransformer
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and not visual.output_tokens
        and plain(visual.transformer)
    )


@torch.no_grad()
def _start_in_all_layers(text: Any, start: int | None) -> torch.Tensor:
    """The keys and values of a start token: (layers, 2, 1, 1, width)."""
    tokens = _embedded(text, torch.tensor([[start]], device=text.positional_embedding.device)).flatten(0, 1)
    parts = []
    for layer in text.transformer.resblocks:
        parts.append(torch.stack(keys_and_values(layer, layer.ln_1(tokens), 1)))
        tokens = advanced(layer, tokens, tokens, 1)
    return torch.stack(parts)


def _embedded(text: Any, ids: torch.Tensor, first: int = 0) -> torch.Tensor:
    """Ids, the first of which stands at some place in its text, as a transformer takes them."""
    dtype = text.transformer.get_cast_dtype()
    positions = text.positional_embedding[first : first + ids.shape[1]]
    return cast(torch.Tensor, text.token_embedding(ids).to(dtype) + positions.to(dtype))


def _ends_by_its_own_forward(text: Any, ids: torch.Tensor) -> torch.Tensor:
    length = ids.shape[1]
    states: torch.Tensor = text.transformer(_embedded(text, ids), attn_mask=text.attn_mask[:length, :length])
    return states[torch.arange(ids.shape[0], device=ids.device), _places_of_ends(text, ids)]


def _places_of_ends(text: Any, ids: torch.Tensor) -> torch.Tensor:
    pool, eos = (text.text_pool_type, text.text_eos_id) if isinstance(text, CLIP) else (text.pool_type, text.eos_id)
    return (ids if pool == "argmax" else (ids == eos).int()).argmax(dim=-1)


def _text_transformer(model: torch.nn.Module) -> "CLIP | TextTransformer | None":
    """Where a model keeps its text tower: in itself, in `text`, or in a form of another library."""
    text = model if isinstance(model, CLIP) else getattr(model, "text", None)
    return text if isinstance(text, CLIP | TextTransformer) else None
