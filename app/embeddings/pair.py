"""Text towers of Multilingual CLIP, each trained for the pictures of an `open_clip` model.

Needs torch; nothing that serves on a CPU imports this module.
"""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from open_clip.hf_model import HFTextEncoder
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import load_file
from transformers import AutoConfig

from app.config import MULTILINGUAL_PAIR
from app.embeddings import original_tokenizer
from app.embeddings.original_tokenizer import Original
from app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

# The architecture that makes the pictures' vectors, by the repository of the text tower.
IMAGES = {MULTILINGUAL_PAIR: "ViT-B-16-plus-240"}


class TextTower(HFTextEncoder):  # type: ignore[misc]  # `open_clip` has no types
    """A transformer, the mean over its tokens, and a projection."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # What spells padding out in the text itself counts; only what follows the last token is none.
        mask = (x != self.config.pad_token_id).long().flip(1).cumsum(1).flip(1).clamp(max=1)
        states = self.transformer(input_ids=x, attention_mask=mask)
        vectors: torch.Tensor = self.proj(self.pooler(states, mask))
        return vectors


def tokenizer(repository: str) -> Original:
    """The tokenizer of a text tower, which takes texts as they are and as long as the tower can.

    Raises:
        ModelUnavailable: it can't be had, or ours can't equal it.
    """
    try:
        base, config, _ = _described(repository)
        length = config.max_position_embeddings - config.pad_token_id - 1  # positions are counted from there
        try:
            original = HFTokenizer(repository, context_length=length)
        except (OSError, ValueError, ImportError):  # none there, or only in a form that takes more libraries
            original = HFTokenizer(base, context_length=length)
    except (OSError, ValueError, ImportError) as error:
        raise original_tokenizer.unreachable(repository, error) from error
    original.clean_fn = str
    return original_tokenizer.checked(original, repository)


def text_tower(repository: str) -> Any:
    """A text tower with its weights, which are mapped from their file and not held twice.

    Raises:
        ModelUnavailable: it can't be had; the message says what to do.
    """
    try:
        _, config, dimensions = _described(repository)
        tower = TextTower("", dimensions, config=config, pooler_type="mean_pooler", proj_type="linear")
        tower.transformer.pooler = None  # here the vector is the mean
        tower.proj = torch.nn.Linear(config.hidden_size, dimensions)
        tower.load_state_dict(_weights(repository), assign=True)
    except Exception as error:  # transformers, torch and the hub raise whatever they like
        logger.debug("no text tower", exc_info=True)
        raise ModelUnavailable(
            f"the text tower of MODEL_NAME={repository} could not be loaded ({type(error).__name__}): its weights are "
            "not on this machine, could not be downloaded, or are of another form. With a network, run "
            "'tate-embeddings prepare'; without one, set MODEL_CACHE_DIR to a folder prepared elsewhere"
        ) from error
    return tower


def _described(repository: str) -> tuple[str, Any, int]:
    """What a tower was made from: the transformer's repository, its configuration, and how long the vectors are."""
    fields = json.loads(Path(hf_hub_download(repository, "config.json")).read_text("utf-8"))
    base = fields["modelBase"]
    return base, AutoConfig.from_pretrained(base), fields["numDims"]


def _weights(repository: str) -> dict[str, torch.Tensor]:
    try:
        mapped = load_file(hf_hub_download(repository, "model.safetensors"))
    except EntryNotFoundError:
        mapped = torch.load(hf_hub_download(repository, "pytorch_model.bin"), mmap=True, weights_only=True)
    # The library's older versions saved positions too, which are counted and no weights.
    unwanted = ("transformer.pooler.", "transformer.embeddings.position_ids")
    return {
        name.replace("LinearTransformation.", "proj."): tensor
        for name, tensor in mapped.items()
        if not name.startswith(unwanted)
    }
