"""Tokenizers of other libraries beside OpenCLIP's use of them, over whatever a string can hold."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from app.embeddings import original_tokenizer
from app.embeddings.fast_tokenizer import FastTokenizer
from app.errors import InvalidRequest, ModelUnavailable
from hypothesis import example, given, settings
from open_clip.tokenizer import HFTokenizer

from tests.embeddings.languages import SENTENCES, TOKENIZERS
from tests.embeddings.test_tokenizer import ANY_TEXT, MIXED_TEXT, PATIENCE_S, thorough

KINDS: dict[str, dict[str, Any]] = {
    "xlm-roberta": {},
    "roberta": {},
    "siglip": {"clean": "canonicalize", "context_length": 64},
    "siglip2": {"clean": "canonicalize", "context_length": 64},
    "bert": {"clean": "lower", "strip_sep_token": True, "context_length": 32},
    "m2m_100": {},
}


@dataclass(frozen=True)
class Pair:
    """A tokenizer as OpenCLIP uses it, and ours made of it."""

    theirs: HFTokenizer
    ours: FastTokenizer

    def padded(self, ids: list[int]) -> list[int]:
        return [*ids, *[self.ours.padding] * (self.ours.frame.context_length - len(ids))]

    def agrees_on(self, text: str) -> None:
        """Fail unless both read the text alike."""
        tokens = self.ours.encode(text)
        row = self.theirs([text])[0].tolist()
        assert self.padded(tokens.ids) == row
        whole = self.theirs.tokenizer(self.theirs.clean_fn(text)).input_ids
        assert tokens.truncated is (len(whole) > self.ours.frame.context_length)


def pair(folder: Path, kind: str) -> Pair:
    TOKENIZERS[kind]().save_pretrained(folder)
    theirs = HFTokenizer(str(folder), **KINDS[kind])
    original_tokenizer.save(theirs, folder / "ours", 1000)
    return Pair(theirs, FastTokenizer.load(folder / "ours"))


@pytest.fixture(scope="module", params=KINDS)
def tokenizers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "ours").mkdir()
    return pair(folder, request.param)


@settings(thorough, max_examples=300)
@given(text=ANY_TEXT)
@example(text="")
@example(text="\ud800")
def test_every_string_is_tokenised_as_open_clip_tokenises_it(tokenizers: Pair, text: str) -> None:
    tokenizers.agrees_on(text)


@settings(thorough, max_examples=300)
@given(text=MIXED_TEXT)
@example(text="a <s> b </s> c <pad> d <pad>")
@example(text="[CLS] a [SEP] b [PAD]")
@example(text="a <eos> b<bos> eng_Latn <unk>")
@example(text="a  _ b\t\n<0x41>▁▁c")
def test_what_texts_on_the_web_are_made_of_is_tokenised_as_open_clip_tokenises_it(tokenizers: Pair, text: str) -> None:
    tokenizers.agrees_on(text)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_every_script_is_read_however_long(tokenizers: Pair, sentence: str) -> None:
    for times in (1, 3, 40):
        tokenizers.agrees_on(f"{sentence} " * times)


def test_a_text_is_truncated_exactly_when_it_is_over_the_context_length(tokenizers: Pair) -> None:
    seen = {}
    for words in range(90):
        text = "sea " * words
        tokenizers.agrees_on(text)
        seen[tokenizers.ours.encode(text).truncated] = words

    assert seen.keys() == {False, True}


@pytest.mark.parametrize("letter", ["a", "é", "睡", "!", "ab"])
def test_a_word_of_200_000_letters_takes_no_quadratic_time(tokenizers: Pair, letter: str) -> None:
    started = time.monotonic()
    tokens = tokenizers.ours.encode(letter * 200_000)

    assert time.monotonic() - started < PATIENCE_S
    assert len(tokens.ids) <= tokenizers.ours.frame.context_length


@pytest.mark.parametrize("text", [*SENTENCES, "sea " * 200, "a </s> b", "a <pad> b"])
def test_ids_of_a_text_are_accepted_as_the_text_is(tokenizers: Pair, text: str) -> None:
    tokens = tokenizers.ours.encode(text)
    row = tokenizers.theirs([text])[0].tolist()
    assert tokenizers.padded(tokenizers.ours.accept(row).ids) == row
    assert tokenizers.ours.accept(tokens.ids).ids == tokens.ids
    assert not tokenizers.ours.accept(row).truncated

    bare = tokenizers.theirs.tokenizer(tokenizers.theirs.clean_fn(text), add_special_tokens=False).input_ids
    assert tokenizers.ours.accept(bare) == tokens


def test_ids_of_nothing_are_refused(tokenizers: Pair) -> None:
    for ids in ([], tokenizers.ours.encode("").ids, tokenizers.theirs([""])[0].tolist(), [tokenizers.ours.padding]):
        with pytest.raises(InvalidRequest, match=r"^Token ids must be those of a text"):
            tokenizers.ours.accept(ids)


def test_ids_out_of_the_vocabulary_are_refused(tokenizers: Pair) -> None:
    size = max(tokenizers.theirs.tokenizer.get_vocab().values()) + 1
    tokenizers.ours.accept([size - 1])

    for ids in ([size], [-1], [2, 5, 10**12]):
        with pytest.raises(InvalidRequest, match=rf"^Token ids must be this model's own, from 0 to {size - 1}\.$"):
            tokenizers.ours.accept(ids)


def test_ids_that_the_model_has_no_embedding_of_are_refused(tmp_path: Path) -> None:
    TOKENIZERS["xlm-roberta"]().save_pretrained(tmp_path)
    original_tokenizer.save(HFTokenizer(str(tmp_path)), tmp_path, embeddings=30)

    with pytest.raises(InvalidRequest, match="0 to 29"):
        FastTokenizer.load(tmp_path).accept([30])


@pytest.mark.parametrize("change", [{"padding_side": "left"}, {"truncation_side": "left"}, {"pad_token": None}])
def test_a_tokenizer_that_fills_up_or_cuts_otherwise_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    TOKENIZERS["xlm-roberta"]().save_pretrained(tmp_path)
    theirs = HFTokenizer(str(tmp_path), **change)

    with pytest.raises(ModelUnavailable, match=r"^MODEL_NAME=some-model reads text with a tokenizer "):
        original_tokenizer.checked(theirs, "some-model")
