"""Models that read many languages: text towers of transformers, the pair of M-CLIP, and SigLIP's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import open_clip
import pytest
import torch
import transformers
from app.config import MULTILINGUAL_PAIR, Precision, Settings
from app.embeddings import EmbeddingModel, source
from app.embeddings.engines import Ids, Vectors
from app.errors import ModelUnavailable
from safetensors.torch import save_file

from tests.conftest import SMALL
from tests.embeddings.conftest import (
    ask,
    export_here,
    noise,
    pictures_by_open_clip,
    texts_by_open_clip,
    write_model,
)
from tests.embeddings.languages import CONFIGURATIONS, SENTENCES, TOKENIZERS, write_text_tower
from tests.embeddings.test_model import FLOORS, NEAR, QUIET, lowest, settings_with
from tests.hub import WEIGHTS, Hub, serving

PICTURES_OF_THE_PAIR = "ViT-B-16-plus-240"

TEXTS = [
    *SENTENCES,
    "",
    "!",
    "a",
    "a <pad> b </s> c <s> <eos>",
    *("sea " * words for words in (1, 7, 40, 75, 76, 400)),
    "море " * 300,
]

SIGLIP_TEXT = {
    "context_length": 64,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "hf_tokenizer_name": "timm/some-siglip",
}
SIGLIP: dict[str, Any] = {
    "model": {"custom_text": True, "init_logit_bias": -10, "embed_dim": 192},
    "vision": {"image_size": 224, "timm_model_name": "vit_tiny_patch16_224", "timm_pool": "map", "timm_proj": "none"},
    "preprocess": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
}
# How a text tower of transformers is read off, and what of the small model is changed beside it.
HUGGING_FACE: dict[str, dict[str, Any]] = {
    "xlm-roberta": {"hf_pooler_type": "mean_pooler"},
    "roberta": {"hf_pooler_type": "mean_pooler", "hf_proj_type": "linear"},
    "mt5": {"hf_pooler_type": "mean_pooler"},
    "bert": {"hf_pooler_type": "cls_pooler", "hf_proj_type": "linear"},
    "m2m_100": {"hf_pooler_type": "cls_last_hidden_state_pooler", "hf_proj_type": "linear"},
}


def write_multilingual(folder: Path, kind: str, **changes: Any) -> str:
    """Write a model of OpenCLIP's with a text tower of transformers into a folder; its name is returned."""
    write_text_tower(folder / "text", kind)
    text = {"hf_model_name": str(folder / "text"), "hf_tokenizer_name": "-", **HUGGING_FACE[kind], **changes}
    name = write_model(folder / "model", text=text)
    TOKENIZERS[kind]().save_pretrained(folder / "model")
    return name


def write_siglip(folder: Path, kind: str) -> str:
    """Write a model like OpenCLIP's SigLIP into a folder; its name is returned."""
    tokenizer = TOKENIZERS[kind]()
    name = write_model(folder, text=SIGLIP_TEXT | {"vocab_size": len(tokenizer)}, **SIGLIP)
    tokenizer.save_pretrained(folder)
    return name


def write_worldwide(folder: Path) -> str:
    """Write a model with CLIP's causal text tower and XLM-R's tokenizer into a folder; its name is returned."""
    tokenizer = TOKENIZERS["xlm-roberta"]()
    text = {"vocab_size": len(tokenizer), "pool_type": "eos", "eos_id": 2, "hf_tokenizer_name": "facebook/xlm-v-base"}
    name = write_model(folder, model={"custom_text": True}, text=text)
    tokenizer.save_pretrained(folder)
    return name


WRITERS: dict[str, Callable[[Path], str]] = {
    **{kind: partial(write_multilingual, kind=kind) for kind in HUGGING_FACE},
    "siglip": partial(write_siglip, kind="siglip"),
    "siglip2": partial(write_siglip, kind="siglip2"),
    "worldwide": write_worldwide,
}


class Case:
    """A model of OpenCLIP's, and ours exported from it."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.kind = kind
        self.name = WRITERS[kind](folder)
        self.cache = folder / "cache"
        export_here(self.name, "-", self.cache)
        self.ours = EmbeddingModel(self.name, "-", settings=settings_with(self.cache, "float32"))
        self.theirs = open_clip.create_model(self.name).eval()
        self.tokenizer = open_clip.get_tokenizer(self.name)

    def expected(self, texts: list[str]) -> Vectors:
        return texts_by_open_clip(self.theirs, self.tokenizer, texts)


@pytest.fixture(scope="module", params=WRITERS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("model"), request.param)


def test_texts_have_open_clips_vectors_together_and_one_by_one(case: Case) -> None:
    expected = case.expected(TEXTS)
    together = case.ours.embed_texts(TEXTS)
    alone = np.concatenate([case.ours.embed_texts([text]) for text in TEXTS])

    assert np.ptp(expected @ expected.T) > 0.01  # the vectors differ, so that it matters which is which
    assert lowest(together, expected) >= FLOORS["float32"]
    assert lowest(alone, expected) >= FLOORS["float32"]
    assert np.abs(together - alone).max() <= NEAR


def test_pictures_have_open_clips_vectors(case: Case) -> None:
    pictures = [noise(300, 200), noise(50, 77), noise(64, 64)]

    assert lowest(case.ours.embed_images(pictures), pictures_by_open_clip(case.theirs, pictures)) >= FLOORS["float32"]


def test_texts_are_filled_up_as_the_models_own_mathematics_allow(case: Case) -> None:
    lengths = []
    rows = [case.ours.tokenize(text).ids for text in ("sea", "a stormy sea at night")]
    compute = case.ours.engine.embed_ids

    def watched(ids: Any) -> Vectors:
        lengths.append(ids.shape[1])
        return compute(ids)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(case.ours.engine, "embed_ids", watched)
        case.ours.embed_tokens(rows)

    manifest = case.ours.manifest
    assert manifest.masks_padding is (case.kind in HUGGING_FACE)
    assert (manifest.cut_after is not None) is (case.kind == "worldwide")
    assert lengths == [64 if case.kind.startswith("siglip") else len(rows[1])]


def test_ids_of_open_clips_tokenizer_give_the_texts_vector(case: Case) -> None:
    text = SENTENCES[3]
    tokens = case.ours.accept_ids(case.tokenizer([text])[0].tolist())

    assert tokens == case.ours.tokenize(text)


@pytest.mark.slow
def test_what_is_prepared_serves_without_torch_transformers_or_a_network(case: Case) -> None:
    settings = {"MODEL_CACHE_DIR": str(case.cache), "ENGINE": "openvino", "PRECISION": "float32"}
    done = subprocess.run(
        [sys.executable, "-c", QUIET, case.name], env=os.environ | settings, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout) == {"seen": [], "heavy": [], "telemetry": "None", "vectors": 2}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_torch_keeps_the_floors_too(case: Case, precision: Precision) -> None:
    model = EmbeddingModel(case.name, "-", settings=settings_with(case.cache, precision, "torch"))
    # Random weights of 32 numbers are no measure, and the tokenizers, which are trained anew, are others each time.
    floor = FLOORS["float32"] if precision == "float32" else 0.95

    assert model.space == case.ours.space
    assert lowest(model.embed_texts(TEXTS), case.expected(TEXTS)) >= floor
    pictures = [noise(300, 200)]
    assert lowest(model.embed_images(pictures), pictures_by_open_clip(case.theirs, pictures)) >= floor


@pytest.mark.slow
def test_a_pooling_that_padding_takes_part_in_keeps_its_padding(tmp_path: Path) -> None:
    name = write_multilingual(tmp_path, "xlm-roberta")
    TOKENIZERS["xlm-roberta"]().save_pretrained(tmp_path / "model")
    tokenizer = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    tokenizer["pad_token"] = "<unk>"  # another than the tower masks
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    export_here(name, "-", tmp_path / "cache")

    model = EmbeddingModel(name, "-", settings=settings_with(tmp_path / "cache", "float32"))

    assert not model.manifest.masks_padding
    expected = texts_by_open_clip(open_clip.create_model(name).eval(), open_clip.get_tokenizer(name), TEXTS)
    assert lowest(model.embed_texts(TEXTS), expected) >= FLOORS["float32"]


@pytest.mark.parametrize("count", [1, 17, 48])
def test_texts_of_like_length_are_computed_together_in_batches_that_the_engine_takes(
    model: EmbeddingModel, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    shapes = []
    compute = model.engine.embed_ids

    def spy(ids: Ids) -> Vectors:
        shapes.append(ids.shape)
        return compute(ids)

    monkeypatch.setattr(model.engine, "embed_ids", spy)
    model.embed_texts(["sea " * (7 * number % 40) for number in range(count)])

    assert sum(rows for rows, _ in shapes) == count
    assert all(rows * length <= model.engine.tokens for rows, length in shapes)
    lengths = [length for _, length in shapes]
    assert lengths == sorted(lengths)


class MultilingualCLIP(torch.nn.Module):
    """The text tower of M-CLIP, written down from its description."""

    def __init__(self, config: Any, dimensions: int) -> None:
        super().__init__()
        self.transformer: Any = transformers.XLMRobertaModel(config)
        self.LinearTransformation = torch.nn.Linear(config.hidden_size, dimensions)

    @torch.inference_mode()
    def forward(self, tokenizer: Any, texts: list[str], longest: int) -> Vectors:
        read = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt")
        states = self.transformer(**read)[0]
        mask = read["attention_mask"]
        mean = (states * mask.unsqueeze(2)).sum(dim=1) / mask.sum(dim=1)[:, None]
        vectors: Vectors = self.LinearTransformation(mean).numpy()
        return vectors


def small_pictures(dimensions: int) -> dict[str, Any]:
    """The configuration of a small model that takes a large one's name."""
    return {**SMALL["model_cfg"], "embed_dim": dimensions}


def files_of(repository: str, folder: Path) -> dict[str, Path]:
    return {f"{repository}/{file.name}": file for file in folder.iterdir() if file.is_file()}


@pytest.fixture
def _hub_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))


class MultilingualPair:
    """What the hub has of M-CLIP's pair, with towers that are small."""

    dimensions = 640

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, PICTURES_OF_THE_PAIR, small_pictures(self.dimensions))
        monkeypatch.setattr("open_clip.factory.download_pretrained", lambda *_, **__: str(folder / "pictures.pt"))
        self.tokenizer = TOKENIZERS["xlm-roberta"]()
        config = CONFIGURATIONS["xlm-roberta"](vocab_size=len(self.tokenizer))
        torch.manual_seed(0)
        self.text = MultilingualCLIP(config, self.dimensions).eval()
        self.pictures = open_clip.create_model(PICTURES_OF_THE_PAIR).eval()
        torch.save(self.pictures.state_dict(), folder / "pictures.pt")
        self.checkpoint = folder / "pictures.pt"
        self.tower = folder / "tower"
        self.tokenizer.save_pretrained(self.tower)
        fields = {"modelBase": "xlm-roberta-large", "transformerDimensions": 32, "numDims": self.dimensions}
        (self.tower / "config.json").write_text(json.dumps(fields | {"model_type": "M-CLIP"}))
        # As the library saved it when the model was made: with positions, which are no weights.
        positions = {"transformer.embeddings.position_ids": torch.arange(90)[None]}
        torch.save(self.text.state_dict() | positions, self.tower / "pytorch_model.bin")
        self.base = folder / "base"
        config.save_pretrained(self.base)

    def files(self) -> Mapping[str, Path]:
        return files_of(MULTILINGUAL_PAIR, self.tower) | files_of("xlm-roberta-large", self.base)


@pytest.fixture
def multilingual_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _hub_cache_of_its_own: None) -> MultilingualPair:
    return MultilingualPair(tmp_path, monkeypatch)


def exported(name: str, tag: str, cache: Path, files: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch) -> Hub:
    with serving(files) as hub:
        ask(hub.url, monkeypatch)
        export_here(name, tag, cache)
    return hub


@pytest.mark.slow
def test_the_pair_of_m_clip_has_the_vectors_of_both_its_towers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multilingual_pair: MultilingualPair, no_hub: str
) -> None:
    settings = Settings.load(model_name=MULTILINGUAL_PAIR, model_cache_dir=tmp_path / "cache", precision="float32")
    exported(MULTILINGUAL_PAIR, settings.pretrained, tmp_path / "cache", multilingual_pair.files(), monkeypatch)
    ask(no_hub, monkeypatch)  # what is prepared needs it no more

    model = EmbeddingModel(MULTILINGUAL_PAIR, settings.pretrained, settings=settings)

    assert model.dimensions == 640
    assert model.manifest.context_length == 88  # as many positions as the tower has after its padding's
    assert model.manifest.masks_padding
    together = model.embed_texts(TEXTS)
    alone = np.concatenate([model.embed_texts([text]) for text in TEXTS])
    expected = multilingual_pair.text(multilingual_pair.tokenizer, TEXTS, 88)
    assert lowest(together, expected) >= FLOORS["float32"]
    assert lowest(alone, expected) >= FLOORS["float32"]
    assert np.abs(together - alone).max() <= NEAR
    pictures = [noise(300, 200), noise(50, 77)]
    by_open_clip = pictures_by_open_clip(multilingual_pair.pictures, pictures)
    assert lowest(model.embed_images(pictures), by_open_clip) >= FLOORS["float32"]


@pytest.mark.slow
def test_the_pair_takes_texts_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multilingual_pair: MultilingualPair
) -> None:
    exported(MULTILINGUAL_PAIR, "laion400m_e31", tmp_path / "cache", multilingual_pair.files(), monkeypatch)
    model = EmbeddingModel(MULTILINGUAL_PAIR, "laion400m_e31", settings=settings_with(tmp_path / "cache", "float32"))

    for text in ("a &amp; b", "  two  spaces ", "schÃ¶n", "море", "</s>"):
        assert model.tokenize(text).ids == multilingual_pair.tokenizer(text).input_ids
    assert model.tokenize("a \ud83c b") == model.tokenize("a \ufffd b")


@pytest.mark.slow
def test_the_pair_takes_a_checkpoint_of_its_image_tower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multilingual_pair: MultilingualPair
) -> None:
    files = multilingual_pair.files()
    exported(MULTILINGUAL_PAIR, str(multilingual_pair.checkpoint), tmp_path / "cache", files, monkeypatch)
    with serving(files) as hub:
        ask(hub.url, monkeypatch)
        by_tag = source.load(MULTILINGUAL_PAIR, "laion400m_e32").space()

    assert (tmp_path / "cache" / by_tag).is_dir()


@pytest.mark.parametrize("tower", ["text", "image"])
def test_the_space_of_the_pair_is_of_both_towers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multilingual_pair: MultilingualPair, tower: str
) -> None:
    def space(cache: str) -> str:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / cache))
        with serving(multilingual_pair.files()) as hub:
            ask(hub.url, monkeypatch)
            return source.load(MULTILINGUAL_PAIR, "laion400m_e32").space()

    before = space("before")
    file, name = {
        "text": (multilingual_pair.tower / "pytorch_model.bin", "LinearTransformation.bias"),
        "image": (multilingual_pair.checkpoint, "visual.conv1.weight"),
    }[tower]
    weights = torch.load(file)
    weights[name].view(-1)[0] += 1e-3
    torch.save(weights, file)

    assert space("after") != before


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_torch_serves_the_pair_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multilingual_pair: MultilingualPair, precision: Precision
) -> None:
    cache = tmp_path / "cache"
    with serving(multilingual_pair.files()) as hub:
        ask(hub.url, monkeypatch)
        export_here(MULTILINGUAL_PAIR, "laion400m_e32", cache)
        model = EmbeddingModel(MULTILINGUAL_PAIR, "laion400m_e32", settings=settings_with(cache, precision, "torch"))

    expected = multilingual_pair.text(multilingual_pair.tokenizer, TEXTS, 88)
    assert lowest(model.embed_texts(TEXTS), expected) >= (FLOORS["float32"] if precision == "float32" else 0.99)


def test_the_pair_reads_the_tokenizer_of_its_base_where_it_has_none_that_can_be_read(
    monkeypatch: pytest.MonkeyPatch, multilingual_pair: MultilingualPair
) -> None:
    for file in multilingual_pair.tower.glob("tokenizer*"):
        file.rename(multilingual_pair.base / file.name)
    with serving(multilingual_pair.files()) as hub:
        ask(hub.url, monkeypatch)
        tokenizer = source.load(MULTILINGUAL_PAIR, "laion400m_e32").tokenizer

    assert tokenizer(["море"])[0].tolist()[:3] == multilingual_pair.tokenizer("море").input_ids[:3]


@pytest.mark.parametrize("missing", ["config.json", "pytorch_model.bin", "the whole hub"])
def test_a_pair_that_cant_be_had_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multilingual_pair: MultilingualPair, missing: str
) -> None:
    files = dict(multilingual_pair.files())
    files.pop(f"{MULTILINGUAL_PAIR}/{missing}", None)
    with serving({} if missing == "the whole hub" else files) as hub:
        ask(hub.url, monkeypatch)
        with pytest.raises(ModelUnavailable, match=f"MODEL_NAME={MULTILINGUAL_PAIR} .*'tate-embeddings prepare'") as no:
            source.load(MULTILINGUAL_PAIR, "laion400m_e32")

    assert "\n" not in str(no.value)


def small_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, weights: str, kind: str, **text: Any
) -> dict[str, Path]:
    """What a hub has of one of OpenCLIP's models, but small: its weights, text configuration and tokenizer."""
    real = open_clip.get_model_config(name)
    tokenizer = TOKENIZERS[kind]()
    own = {**real["text_cfg"], **text} | ({} if "hf_model_name" in real["text_cfg"] else {"vocab_size": len(tokenizer)})
    vision = SMALL["model_cfg"]["vision_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, {**real, "vision_cfg": vision, "text_cfg": own})
    files = files_of(own["hf_tokenizer_name"], write_text_tower(folder / "text", kind))
    with serving(files) as hub:
        ask(hub.url, monkeypatch)
        torch.manual_seed(0)
        save_file(open_clip.create_model(name, pretrained_text=False).state_dict(), folder / WEIGHTS)
    return {**files, f"{weights}/{WEIGHTS}": folder / WEIGHTS}


NAMED: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "xlm-roberta-base-ViT-B-32": (
        "laion5b_s13b_b90k", "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k", "xlm-roberta", {},
    ),
    "ViT-B-16-SigLIP": ("webli", "timm/ViT-B-16-SigLIP", "siglip", {"width": 64, "heads": 2, "layers": 2}),
    "ViT-B-16-SigLIP2": ("webli", "timm/ViT-B-16-SigLIP2", "siglip2", {"width": 64, "heads": 2, "layers": 2}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.usefixtures("_hub_cache_of_its_own")
def test_a_model_is_downloaded_by_its_name_and_served_without_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: str, name: str
) -> None:
    tag, repository, kind, text = NAMED[name]
    files = small_named(tmp_path, monkeypatch, name, repository, kind, **text)
    exported(name, tag, tmp_path / "cache", files, monkeypatch)
    ask(no_hub, monkeypatch)

    model = EmbeddingModel(name, tag, settings=settings_with(tmp_path / "cache", "float32"))

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # OpenCLIP itself would try for minutes
    original = open_clip.create_model(name, pretrained=tag).eval()
    expected = texts_by_open_clip(original, open_clip.get_tokenizer(name), TEXTS)
    assert lowest(model.embed_texts(TEXTS), expected) >= FLOORS["float32"]
    pictures = [noise(300, 200), noise(50, 77)]
    assert lowest(model.embed_images(pictures), pictures_by_open_clip(original, pictures)) >= FLOORS["float32"]
    preprocessing = model.preprocessing
    assert (preprocessing.resize_mode, preprocessing.mean[0]) == (
        ("squash", 0.5) if "SigLIP" in name else ("shortest", 0.48145466)
    )


@pytest.mark.slow
@pytest.mark.usefixtures("_hub_cache_of_its_own")
def test_a_model_that_was_downloaded_once_is_exported_without_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: str
) -> None:
    name = "xlm-roberta-base-ViT-B-32"
    tag, repository, kind, _ = NAMED[name]
    files = small_named(tmp_path, monkeypatch, name, repository, kind)
    exported(name, tag, tmp_path / "first", files, monkeypatch)
    ask(no_hub, monkeypatch)

    export_here(name, tag, tmp_path / "second")

    assert {folder.name for folder in (tmp_path / "second").glob("*/")} == {
        folder.name for folder in (tmp_path / "first").glob("*/")
    }


@pytest.mark.parametrize("weights", ["laion2b_s34b_b79k", "/no/such/file.pt"])
def test_weights_that_are_none_of_the_pairs_pictures_are_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, multilingual_pair: MultilingualPair, weights: str
) -> None:
    with serving(multilingual_pair.files()) as hub:
        ask(hub.url, monkeypatch)
        with pytest.raises(ModelUnavailable, match=f"^PRETRAINED={weights} .* of {PICTURES_OF_THE_PAIR}; .*e32") as no:
            source.load(MULTILINGUAL_PAIR, weights)

    assert "\n" not in str(no.value)
    assert not [request for request in hub.requests if "pytorch_model.bin" in request]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_text_tower_that_cant_be_exported_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write_multilingual(tmp_path, "xlm-roberta", hf_pooler_type="max_pooler")

    with pytest.raises(ModelUnavailable, match=f"^MODEL_NAME={name} can't be exported") as refusal:
        export_here(name, "-", tmp_path / "cache")

    assert "\n" not in str(refusal.value)
