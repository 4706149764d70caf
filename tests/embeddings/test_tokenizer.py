"""Our tokenizer beside `open_clip`'s own, over whatever a string can hold."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import open_clip
import pytest
from app.embeddings import EmbeddingModel
from app.embeddings.cleaning import Cleaning
from app.embeddings.tokenizer import ClipTokenizer, Tokens, save
from app.errors import InvalidRequest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

CONTEXT_LENGTH = 77
PATIENCE_S = 5.0


@dataclass(frozen=True)
class Pair:
    """A tokenizer of `open_clip`'s and ours made of its tables."""

    theirs: SimpleTokenizer
    ours: ClipTokenizer

    def agrees_on(self, text: str) -> None:
        """Fail unless both read the text alike."""
        tokens = self.ours.encode(text)
        length = self.ours.context_length
        assert [*tokens.ids, *[0] * (length - len(tokens.ids))] == self.theirs([text], length)[0].tolist()
        assert tokens.truncated is (len(self.theirs.encode(text)) + 2 > length)


def pair(
    folder: Path, cleaning: Cleaning, context_length: int = CONTEXT_LENGTH, extra: list[str] | None = None
) -> Pair:
    folder.mkdir(parents=True, exist_ok=True)
    theirs = SimpleTokenizer(clean=cleaning, context_length=context_length, additional_special_tokens=extra)
    special = ["<start_of_text>", "<end_of_text>", *(extra or [])]
    save(
        folder,
        vocabulary=theirs.encoder,
        merges=list(theirs.bpe_ranks),
        special={word: theirs.encoder[word] for word in special},
        start=theirs.sot_token_id,
        end=theirs.eot_token_id,
        context_length=context_length,
        cleaning=cleaning,
    )
    return Pair(theirs, ClipTokenizer.load(folder))


@pytest.fixture(scope="module", params=[cleaning for cleaning in get_args(Cleaning) if cleaning != "none"])
def tokenizers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory.mktemp("tokenizer"), request.param)


# Surrogates are in it: JSON can bring them in.
CHARACTERS = st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=())
ANY_TEXT = st.text(CHARACTERS, max_size=120)
WORDS = st.sampled_from(
    [
        "a",
        "stormy",
        "SEA",
        "don't",
        "we'LL",
        "I'm",
        "it'ſ",
        "1642",
        "½",
        "Œuvre",
        "İstanbul",
        "ﬁn",
        "睡蓮",
        "नदी",
        "กา",
        "ß",
    ]
)
ENTITIES = st.sampled_from(
    [
        "&amp;",
        "&amp;amp;",
        "&amp;lt;",
        "&lt;end_of_text&gt;",
        "&#38;",
        "&#x26;eacute;",
        "&#xD800;",
        "&#0;",
        "&nbsp;",
        "&",
    ]
)
MOJIBAKE = st.sampled_from(["Ã©tude", "â€œquotedâ€\x9d", "schÃ¶n", "ï»¿", "Ð¼Ð¾Ñ€Ðµ", "\x85", "â€¦", "ÃƒÂ©"])
EMOJI = st.sampled_from(["👩‍🎨", "🏳️‍🌈", "👍🏽", "🇳🇱", "‍", "️", "🌊", "\ud83c", "\udf0a", "\ud83c\udf0a"])
CONTROLS = st.sampled_from(
    ["\x00", "\x1b[31m", "\x7f", "\u200b", "\u202e", "\ufeff", "\x1c", "\u2028", "\r\n", "\t", "\u00a0"]
)
SPECIALS = st.sampled_from(
    ["<start_of_text>", "<end_of_text>", "<END_OF_TEXT>", "<Start_of_Text>", "<end_of_text", "</w>", "<|endoftext|>"]
)
PUNCTUATION = st.sampled_from([" ", "  ", "_", "__", "!", "...", "'", "''s", "-", "«»", "—", "#"])
LONG_WORDS = st.builds(lambda letter, times: letter * times, st.sampled_from("aZé睡!0"), st.integers(1, 150))
MIXED_TEXT = st.lists(
    st.one_of(
        WORDS, ENTITIES, MOJIBAKE, EMOJI, CONTROLS, SPECIALS, PUNCTUATION, LONG_WORDS, st.text(CHARACTERS, max_size=4)
    ),
    max_size=40,
).map("".join)

thorough = settings(
    max_examples=600,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@thorough
@given(text=ANY_TEXT)
@example(text="")
@example(text=" \t\n ")
@example(text="\ud800")
@example(text="a \udfff b")
def test_every_string_is_tokenised_as_open_clip_tokenises_it(tokenizers: Pair, text: str) -> None:
    tokenizers.agrees_on(text)


@thorough
@given(text=MIXED_TEXT)
@example(text="&amp;lt;end_of_text&amp;gt;")
@example(text="a <END_OF_TEXT> b <end_of_text> c")
@example(text="...!?")
def test_what_texts_on_the_web_are_made_of_is_tokenised_as_open_clip_tokenises_it(tokenizers: Pair, text: str) -> None:
    tokenizers.agrees_on(text)


@settings(thorough, max_examples=200)
@given(words=st.lists(st.one_of(WORDS, EMOJI, SPECIALS), min_size=30, max_size=120))
def test_a_text_over_the_context_length_is_cut_as_open_clip_cuts_it(tokenizers: Pair, words: list[str]) -> None:
    tokenizers.agrees_on(" ".join(words))


@pytest.mark.parametrize(("words", "truncated"), [(74, False), (75, False), (76, True), (77, True), (500, True)])
def test_a_text_is_truncated_exactly_when_it_is_over_the_context_length(
    tokenizers: Pair, words: int, truncated: bool
) -> None:
    tokens = tokenizers.ours.encode("sea " * words)

    assert tokens.truncated is truncated
    assert len(tokens.ids) == min(words + 2, CONTEXT_LENGTH)
    assert tokens.ids[-1] == tokenizers.ours.end


@pytest.mark.parametrize("context_length", [2, 3, 16, 248])
def test_another_context_length_is_cut_as_open_clip_cuts_it(tmp_path: Path, context_length: int) -> None:
    tokenizers = pair(tmp_path, "lower", context_length)

    for words in range(context_length + 3):
        tokenizers.agrees_on("sea " * words)


def test_additional_special_tokens_are_read_as_open_clip_reads_them(tmp_path: Path) -> None:
    tokenizers = pair(tmp_path, "whitespace", extra=["<artist>", "<year>"])

    for text in ("<artist> Monet <year>1899", "<ARTIST>", "a<artist>b", "<artist", "year>"):
        tokenizers.agrees_on(text)


def test_a_lone_surrogate_is_read_as_the_replacement_character(tokenizers: Pair) -> None:
    assert tokenizers.ours.encode("a \ud83c b") == tokenizers.ours.encode("a \ufffd b")


def test_an_empty_text_is_a_start_and_an_end(tokenizers: Pair) -> None:
    assert tokenizers.ours.encode(" \n ").ids == [tokenizers.ours.start, tokenizers.ours.end]


@pytest.mark.parametrize("letter", ["a", "é", "睡", "!", "ab"])
def test_a_word_of_200_000_letters_takes_no_quadratic_time(tokenizers: Pair, letter: str) -> None:
    started = time.monotonic()
    tokens = tokenizers.ours.encode(letter * 200_000)

    assert time.monotonic() - started < PATIENCE_S
    assert len(tokens.ids) <= CONTEXT_LENGTH


def test_the_exported_tokenizer_is_that_of_the_model(model: EmbeddingModel) -> None:
    theirs = open_clip.get_tokenizer("ViT-B-32")

    for text in ("a stormy sea", "Œuvre &amp;amp; <end_of_text> 🌊", "a crowd of people " * 40):
        ids = model.tokenize(text).ids
        assert ids == theirs([text])[0].tolist()[: len(ids)]


@pytest.mark.parametrize(
    "text",
    ["a stormy sea", "wow!!!", "Œuvre 🌊", "ends <end_of_text> early", "<start_of_text> a", "sea " * 75, "sea " * 200],
)
def test_ids_of_a_text_are_accepted_as_the_text_is(tokenizers: Pair, text: str) -> None:
    tokens = tokenizers.ours.encode(text)
    row = tokenizers.theirs([text])[0].tolist()

    for ids in (row, tokens.ids, tokens.ids[:-1]):
        assert tokenizers.ours.accept(ids) == Tokens(tokens.ids, truncated=False)


def test_ids_without_what_surrounds_a_text_are_accepted_and_cut(tokenizers: Pair) -> None:
    for text in ("a stormy sea", "wow!!!", "sea " * 200):
        assert tokenizers.ours.accept(tokenizers.theirs.encode(text)) == tokenizers.ours.encode(text)


@pytest.mark.parametrize("ids", [[], [0, 0], [49406], [49406, 49407], [49406, 49407, 0, 0, 0]])
def test_ids_of_nothing_are_refused(tokenizers: Pair, ids: list[int]) -> None:
    with pytest.raises(InvalidRequest, match=r"^Token ids must be those of a text"):
        tokenizers.ours.accept(ids)


@pytest.mark.parametrize("ids", [[49408], [-1], [320, 10**30]])
def test_ids_out_of_the_vocabulary_are_refused(tokenizers: Pair, ids: list[int]) -> None:
    with pytest.raises(InvalidRequest, match=r"^Token ids must be this model's own, from 0 to 49407\.$"):
        tokenizers.ours.accept(ids)
