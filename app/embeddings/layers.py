"""A transformer layer of `open_clip`, computed for those tokens alone that something is read off.

Needs torch; nothing that serves on a CPU imports this module.
"""

from typing import Any, cast

import torch
from open_clip.transformer import ResidualAttentionBlock, Transformer
from torch.nn import functional


def plain(transformer: Any) -> bool:
    """Whether all layers are of the one kind that `advanced` computes."""
    return type(transformer) is Transformer and all(
        type(layer) is ResidualAttentionBlock
        and type(layer.attn) is torch.nn.MultiheadAttention
        and not hasattr(layer, "ln_1_kv")  # which attends to something else
        for layer in transformer.resblocks
    )


def advanced(
    layer: Any,
    tokens: torch.Tensor,
    seen: torch.Tensor,
    count: int,
    mask: torch.Tensor | None = None,
    before: torch.Tensor | None = None,
) -> torch.Tensor:
    """What a layer makes of tokens.

    Tokens are rows, those of one item after those of another: with two dimensions OpenVINO multiplies a few short texts
    in float32 by a kernel that takes two thirds of the time which it takes with three.

    Args:
        layer: one of a transformer that is `plain`.
        tokens: (items × those to compute, width).
        seen: (items × those that each of them attends to, width); the same tensor if they attend to one another.
        count: how many items there are.
        mask: what is added to how much a token attends to another, if not each attends to all.
        before: (2, items, 1, width), the key and the value of a token that all attend to and that isn't in `seen`.
    """
    width: int = layer.attn.embed_dim
    normed = layer.ln_1(seen)
    queries = _projected(layer, normed if tokens is seen else layer.ln_1(tokens), 0, count)
    keys, values = keys_and_values(layer, normed, count)
    if before is not None:
        first_key, first_value = before.unbind()
        keys, values = torch.cat([first_key, keys], dim=1), torch.cat([first_value, values], dim=1)
    found = functional.scaled_dot_product_attention(
        _by_head(layer, queries), _by_head(layer, keys), _by_head(layer, values), attn_mask=mask
    )
    tokens = tokens + layer.ls_1(layer.attn.out_proj(found.transpose(1, 2).reshape(-1, width)))
    return cast(torch.Tensor, tokens + layer.ls_2(layer.mlp(layer.ln_2(tokens))))


def keys_and_values(layer: Any, normed: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What tokens, after the layer's first norm, are to those that attend to them: (items, tokens, width) each."""
    # Not one projection cut in two: OpenVINO would copy both halves.
    return _projected(layer, normed, 1, count), _projected(layer, normed, 2, count)


def _projected(layer: Any, normed: torch.Tensor, part: int, count: int) -> torch.Tensor:
    """Rows as (items, tokens, width) by the projection to queries, keys or values, which are parts of one matrix."""
    attention = layer.attn
    rows = slice(part * attention.embed_dim, (part + 1) * attention.embed_dim)
    projected = functional.linear(normed, attention.in_proj_weight[rows], attention.in_proj_bias[rows])
    return projected.reshape(count, -1, attention.embed_dim)


def _by_head(layer: Any, parts: torch.Tensor) -> torch.Tensor:
    """(items, tokens, width) as (items, heads, tokens, width of a head)."""
    return parts.reshape(parts.shape[0], -1, layer.attn.num_heads, layer.attn.head_dim).transpose(1, 2)
