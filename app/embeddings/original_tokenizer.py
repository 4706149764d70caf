"""The tokenizers of `open_clip`, and what of them is saved for those that serve.

Needs torch; nothing that serves on a CPU imports this module.
"""

import logging
from pathlib import Path
from typing import Any, TypeAlias, get_args

import huggingface_hub.constants
import open_clip
import tokenizers
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer, get_clean_fn

from app.embeddings import fast_tokenizer, tokenizer
from app.embeddings.cleaning import Cleaning
from app.embeddings.prepared import LOCAL_SCHEMA
from app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

Original: TypeAlias = SimpleTokenizer | HFTokenizer

# `str` leaves a string as it is.
CLEANINGS: dict[Any, Cleaning] = {str: "none"} | {
    get_clean_fn(cleaning): cleaning for cleaning in get_args(Cleaning) if cleaning != "none"
}


def of_architecture(architecture: str) -> Original:
    """The tokenizer of an `open_clip` architecture.

    Raises:
        ModelUnavailable: it can't be had, or ours can't equal it.
    """
    try:
        original = open_clip.get_tokenizer(architecture)
    except Exception as error:  # transformers raises whatever it likes, of files that it didn't get too
        if architecture.startswith(LOCAL_SCHEMA):
            raise _unserved(architecture) from error
        raise unreachable(architecture, error) from error
    return checked(original, architecture)


def checked(original: Any, architecture: str) -> Original:
    """A tokenizer, if ours can equal it.

    Raises:
        ModelUnavailable: it can't.
    """
    if getattr(original, "clean_fn", None) in CLEANINGS:
        if isinstance(original, SimpleTokenizer) and not original.reduction_fn:
            return original
        if isinstance(original, HFTokenizer) and not original.tokenizer_mode:
            backend = original.tokenizer
            sides = backend.padding_side, backend.truncation_side
            if backend.is_fast and backend.pad_token_id is not None and sides == ("right", "right"):
                return original
    raise _unserved(architecture)


def unreachable(architecture: str, error: Exception) -> ModelUnavailable:
    """What is raised where a tokenizer, or what else describes a text tower, can't be downloaded."""
    logger.debug("the hub refused", exc_info=True)
    return ModelUnavailable(
        f"the tokenizer and text configuration of MODEL_NAME={architecture} are not on this machine and could not be "
        f"read from {huggingface_hub.constants.ENDPOINT}, where a tokenizer.json is looked for "
        f"({type(error).__name__}). With a network, run 'tate-embeddings prepare'; without one, set MODEL_CACHE_DIR to "
        "a folder prepared elsewhere"
    )


def description(original: Original) -> list[Any]:
    """Everything about a tokenizer that its ids depend on, for a digest."""
    cleaning = CLEANINGS[original.clean_fn]
    if isinstance(original, HFTokenizer):
        return [_library_form(original).to_str(), _table(original)]
    return [
        original.encoder,
        list(original.bpe_ranks),
        original.all_special_ids,
        original.context_length,
        cleaning,
    ]


def save(original: Original, folder: Path, embeddings: int) -> None:
    """Write what ours reads; ids beyond the model's token embeddings are in nobody's vocabulary."""
    if isinstance(original, HFTokenizer):
        table = _table(original)
        size = min(max(original.tokenizer.get_vocab().values()) + 1, embeddings)
        fast_tokenizer.save(folder, _library_form(original).to_str(), table | {"vocabulary_size": size})
        return
    special = {word: original.encoder[word] for word in original.cache if word in original.encoder}
    tokenizer.save(
        folder,
        vocabulary=original.encoder,
        merges=list(original.bpe_ranks),
        special={word: number for word, number in special.items() if number in original.all_special_ids},
        start=original.sot_token_id,
        end=original.eot_token_id,
        context_length=original.context_length,
        cleaning=CLEANINGS[original.clean_fn],
    )


def start_of_text(original: Original) -> int | None:
    """The id that begins every text, where the tokenizer is CLIP's own."""
    return original.sot_token_id if isinstance(original, SimpleTokenizer) else None


def end_of_text(original: Original) -> int | None:
    """The id that ends every text, if one does."""
    if isinstance(original, HFTokenizer):
        return next(iter(reversed(_surroundings(original)[1])), None)
    end: int = original.eot_token_id
    return end


def padding(original: Original) -> int:
    """The id that fills a row up."""
    return original.tokenizer.pad_token_id if isinstance(original, HFTokenizer) else 0


def _unserved(architecture: str) -> ModelUnavailable:
    return ModelUnavailable(
        f"MODEL_NAME={architecture} reads text with a tokenizer that this version doesn't serve; it serves CLIP's own "
        "and what transformers reads from a tokenizer.json, as of ViT-B-32 and xlm-roberta-base-ViT-B-32"
    )


def _library_form(original: HFTokenizer) -> tokenizers.Tokenizer:
    """Without cutting and padding, which a call leaves in it and the next one sets again."""
    model: tokenizers.Tokenizer = original.tokenizer.backend_tokenizer
    model.no_truncation()
    model.no_padding()
    return model


def _table(original: HFTokenizer) -> dict[str, Any]:
    start, end = _surroundings(original)
    return {
        "frame": {
            "start": start,
            "end": end,
            "padding": original.tokenizer.pad_token_id,
            "context_length": original.context_length,
        },
        "cleaning": CLEANINGS[original.clean_fn],
        "zeroed": original.tokenizer.sep_token_id if original.strip_sep_token else None,
    }


def _surroundings(original: HFTokenizer) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and after every text."""
    encoded = _library_form(original).encode("a")
    added = encoded.special_tokens_mask
    first = added.index(0)
    count = added.count(0)
    ids = [0 if original.strip_sep_token and i == original.tokenizer.sep_token_id else i for i in encoded.ids]
    return ids[:first], ids[first + count :]
