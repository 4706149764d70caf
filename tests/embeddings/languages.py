"""Tokenizers and text towers of the kinds that OpenCLIP takes from transformers, each with a handful of words."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import transformers
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

FAST: Any = transformers.PreTrainedTokenizerFast  # which has no types

SENTENCES = (
    "a stormy sea at night",
    "Portrait of a woman in a red dress, 1642",
    "Œuvre d'art – «Nature morte» n° 7",
    "Die Brücke über den Seerosenteich im Frühling",
    "Буря на море ночью, холст, масло",
    "睡蓮の池に架かる橋",
    "暴风雨中的大海",
    "عاصفة في البحر ليلا",
    "रात में तूफानी समुद्र",
    "ทะเลยามค่ำคืน",
    "폭풍우 치는 밤바다",
    "Θάλασσα τη νύχτα 🌊",
)
VOCABULARY = 400


def xlm_roberta() -> Any:
    """`<s> … </s>`, padded with 1: of XLM-R and M-CLIP."""
    model = _unigram(["<s>", "<pad>", "</s>", "<unk>"], normalizers.NFKC())
    model.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return FAST(
        tokenizer_object=model, bos_token="<s>", eos_token="</s>", sep_token="</s>", cls_token="<s>",
        unk_token="<unk>", pad_token="<pad>", mask_token="<mask>",
    )  # fmt: skip


def roberta() -> Any:
    """`<s> … </s>` over bytes, padded with 1."""
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    _train(model, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet))
    model.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return FAST(
        tokenizer_object=model, bos_token="<s>", eos_token="</s>", sep_token="</s>", cls_token="<s>",
        unk_token="<unk>", pad_token="<pad>", mask_token="<mask>",
    )  # fmt: skip


def siglip(padding: str = "</s>") -> Any:
    """`… </s>`, padded with its end: of SigLIP."""
    model = _unigram(["<pad>", "</s>", "<unk>"], normalizers.NFKC())
    model.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return FAST(tokenizer_object=model, eos_token="</s>", unk_token="<unk>", pad_token=padding)


def siglip2() -> Any:
    """`… <eos>` over pieces that fall back to bytes, no words told apart, padded with 0: of SigLIP2."""
    model = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    model.normalizer = normalizers.Replace(" ", "▁")
    model.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    _train(model, trainers.BpeTrainer(vocab_size=256 + VOCABULARY, special_tokens=special))
    model.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return FAST(tokenizer_object=model, eos_token="<eos>", bos_token="<bos>", unk_token="<unk>", pad_token="<pad>")


def bert() -> Any:
    """`[CLS] … [SEP]`, padded with 0: of CLIPA, which takes the last away again."""
    model = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    model.normalizer = normalizers.BertNormalizer(lowercase=True)
    model.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    _train(model, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special))
    model.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return FAST(tokenizer_object=model, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


def nllb() -> Any:
    """A language, the text, `</s>`, padded with 1."""
    model = _unigram(["<s>", "<pad>", "</s>", "<unk>", "eng_Latn"], normalizers.NFKC())
    model.post_processor = processors.TemplateProcessing(
        single="eng_Latn $A </s>", special_tokens=[("eng_Latn", 4), ("</s>", 2)]
    )
    return FAST(tokenizer_object=model, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "xlm-roberta": xlm_roberta,
    "roberta": roberta,
    "mt5": lambda: siglip("<pad>"),
    "siglip": siglip,
    "siglip2": siglip2,
    "bert": bert,
    "m2m_100": nllb,
}

_NARROW: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 90,
    "initializer_range": 0.5,  # of the usual 0.02 all texts would have nearly one vector
}
_NARROW_T5: dict[str, Any] = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
_NARROW_M2M: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "init_std": 0.5,
}


CONFIGURATIONS: dict[str, Callable[..., Any]] = {
    "xlm-roberta": partial(transformers.XLMRobertaConfig, **_NARROW, pad_token_id=1),
    "roberta": partial(transformers.RobertaConfig, **_NARROW, pad_token_id=1),
    "bert": partial(transformers.BertConfig, **_NARROW, pad_token_id=0),
    "mt5": partial(transformers.MT5Config, **_NARROW_T5, pad_token_id=0),
    "m2m_100": partial(transformers.M2M100Config, **_NARROW_M2M, pad_token_id=1),
}


def write_text_tower(folder: Path, kind: str) -> Path:
    """A repository with a tokenizer, and the configuration of a text tower if it's one of transformers'."""
    tokenizer = TOKENIZERS[kind]()
    tokenizer.save_pretrained(folder)
    if kind in CONFIGURATIONS:
        CONFIGURATIONS[kind](vocab_size=len(tokenizer)).save_pretrained(folder)
    return folder


def _unigram(special: list[str], normalizer: Any) -> Tokenizer:
    model = Tokenizer(models.Unigram())
    model.normalizer = normalizers.Sequence([normalizer, normalizers.Replace(Regex(" {2,}"), " ")])
    model.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    model.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    _train(model, trainer)
    return model


def _train(model: Tokenizer, trainer: Any, sentences: Iterable[str] = SENTENCES) -> None:
    trainer.show_progress = False
    model.train_from_iterator(list(sentences) * 5, trainer)
