"""The two halves of an `open_clip` model as plain functions of ids and bytes, for export and for the torch engine.

Needs torch; nothing that serves on a CPU imports this module.
"""

from typing import Any, cast

import torch
from open_clip.hf_model import ClsLastHiddenStatePooler, ClsPooler, HFTextEncoder, MeanPooler
from open_clip.model import CLIP
from open_clip.transformer import TextTransformer, text_global_pool

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

    def __init__(self, model: torch.nn.Module, cut: bool) -> None:
        super().__init__()
        self.model = model
        self.cut = cut

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if not self.cut:
            whole: torch.Tensor = cast(Any, self.model).encode_text(ids)
            return whole
        text = _text_transformer(self.model)
        assert text is not None
        dtype = text.transformer.get_cast_dtype()
        length = ids.shape[1]
        states = text.token_embedding(ids).to(dtype) + text.positional_embedding[:length].to(dtype)
        states = text.transformer(states, attn_mask=text.attn_mask[:length, :length])
        pool, eos = (text.text_pool_type, text.text_eos_id) if isinstance(text, CLIP) else (text.pool_type, text.eos_id)
        # Layer norm works on each token alone, so that it is enough to pick the token first.
        pooled: torch.Tensor = text.ln_final(text_global_pool(states, ids, pool, eos_token_id=eos))
        projection: torch.nn.Linear | torch.Tensor | None = text.text_projection
        if projection is None:
            return pooled
        projected: torch.Tensor = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
        return projected


class ImageTower(torch.nn.Module):
    """(n, height, width, 3) bytes of RGB to (n, dimensions) vectors, scaling and normalising included."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: torch.nn.Module, preprocessing: Preprocessing, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        scaled = (pixels.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        vectors: torch.Tensor = cast(Any, self.model).encode_image(scaled.to(self.dtype))
        return vectors


def _text_transformer(model: torch.nn.Module) -> "CLIP | TextTransformer | None":
    """Where a model keeps its text tower: in itself, in `text`, or in a form of another library."""
    text = model if isinstance(model, CLIP) else getattr(model, "text", None)
    return text if isinstance(text, CLIP | TextTransformer) else None
