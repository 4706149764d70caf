"""What lies in MODEL_CACHE_DIR: never served damaged, never written by a reader, and made anew when it has to be."""

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app.config import Settings
from app.embeddings import EmbeddingModel, export, source
from app.embeddings.model import prepare
from app.embeddings.prepared import FORMAT, MANIFEST_FILE, UNFINISHED, Prepared, exporting, find, published, verified
from app.errors import ModelUnavailable

from tests.embeddings.conftest import MakeModel, export_here, write_model

TEXT = "a stormy sea"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A model, and the cache that it was exported to. Tests take copies."""
    folder = tmp_path_factory.mktemp("shelf")
    name = write_model(folder / "model")
    export_here(name, "-", folder / "cache")
    return name, folder / "cache"


@pytest.fixture
def name(shelf: tuple[str, Path]) -> str:
    return shelf[0]


@pytest.fixture
def cache(shelf: tuple[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(shelf[1], tmp_path / "cache"))


def found(cache: Path, name: str, pretrained: str = "-") -> Prepared:
    prepared = find(cache, name, pretrained)
    assert prepared is not None
    return prepared


def settings_for(cache: Path, name: str, pretrained: str = "-") -> Settings:
    return Settings.load(
        model_name=name, pretrained=pretrained, model_cache_dir=cache, precision="float32", engine="openvino"
    )


def load(cache: Path, name: str, pretrained: str = "-") -> EmbeddingModel:
    return EmbeddingModel(name, pretrained, settings=settings_for(cache, name, pretrained))


def spaces(cache: Path) -> set[str]:
    """What is in a cache besides the lock and the names."""
    return {entry.name for entry in cache.iterdir()} - {"lock", "names"}


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_in_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def rewrite(**fields: Any) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        file.write_text(json.dumps(json.loads(file.read_text()) | fields, indent=2))

    return change


def write(text: str) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        file.write_bytes(text.encode("latin-1"))

    return change


DAMAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a flipped byte of text.bin": ("text.bin", flip_a_byte),
    "a flipped byte of image.xml": ("image.xml", flip_a_byte),
    "half of image.bin": ("image.bin", cut_in_half),
    "an empty reference": ("reference.npz", write("")),
    "no tokenizer": ("tokenizer.json", Path.unlink),
    "no text.xml": ("text.xml", Path.unlink),
    "no manifest": (MANIFEST_FILE, Path.unlink),
    "half of the manifest": (MANIFEST_FILE, cut_in_half),
    "a manifest that is no JSON": (MANIFEST_FILE, write("\x00\x01")),
    "a manifest that is a list": (MANIFEST_FILE, write("[]")),
    "a manifest in bytes that are no text": (MANIFEST_FILE, write("\xff\xfe\xff")),
    "a manifest of another format": (MANIFEST_FILE, rewrite(format=FORMAT + 1)),
    "a manifest of another space": (MANIFEST_FILE, rewrite(space="0123456789abcdef")),
    "a manifest with a field too many": (MANIFEST_FILE, rewrite(surprise=1)),
    "a manifest without files": (MANIFEST_FILE, rewrite(files=None)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_not_found(name: str, cache: Path, damage: str) -> None:
    file, spoil = DAMAGES[damage]
    spoil(found(cache, name).folder / file)

    assert find(cache, name, "-") is None


def test_a_hasty_look_reads_no_weights_but_misses_no_file(name: str, cache: Path) -> None:
    folder = found(cache, name).folder
    flip_a_byte(folder / "text.bin")
    assert find(cache, name, "-", thoroughly=False) is not None

    (folder / "text.bin").unlink()
    assert find(cache, name, "-", thoroughly=False) is None


@pytest.mark.parametrize("changed", ['"cut_after": 49407', '"bicubic"', "0.26862954"])
def test_a_byte_of_the_manifest_that_changes_its_sense_is_noticed(name: str, cache: Path, changed: str) -> None:
    manifest = found(cache, name).folder / MANIFEST_FILE
    other = {'"cut_after": 49407': '"cut_after": 49406', '"bicubic"': '"bilinear"', "0.26862954": "0.26862955"}[changed]
    text = manifest.read_text()
    assert changed in text
    manifest.write_text(text.replace(changed, other))

    assert find(cache, name, "-") is None


@pytest.mark.parametrize("damage", ["a flipped byte of text.bin", "half of the manifest"])
@pytest.mark.usefixtures("exported_here")
def test_a_damaged_model_is_made_anew_and_serves(name: str, cache: Path, damage: str) -> None:
    before = found(cache, name)
    expected = load(cache, name).embed_texts([TEXT])
    file, spoil = DAMAGES[damage]
    spoil(before.folder / file)

    model = load(cache, name)

    assert model.space == before.manifest.space
    assert np.abs(model.embed_texts([TEXT]) - expected).max() < 1e-6
    assert spaces(cache) == {model.space}


@pytest.mark.parametrize("text", ["", "[]", '"words"', '{"space": "../elsewhere"}', '{"source": [], "space": "gone"}'])
@pytest.mark.usefixtures("exported_here")
def test_a_damaged_name_is_written_anew_without_another_export(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    [pointer] = (cache / "names").iterdir()
    pointer.write_text(text)
    assert find(cache, name, "-") is None
    monkeypatch.delattr(export, "_write")

    prepare(settings_for(cache, name))

    found(cache, name)


def everything(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What would change if anything below a folder were made, written, renamed or removed."""
    places = [folder, *folder.rglob("*")]
    return {f"{place}": (stat.st_ino, stat.st_size, stat.st_mtime_ns) for place in places for stat in [place.stat()]}


def test_loading_and_serving_writes_nothing_into_the_cache(name: str, cache: Path) -> None:
    before = everything(cache)

    load(cache, name).embed_texts([TEXT])

    assert everything(cache) == before


@pytest.mark.usefixtures("exported_here")
def test_a_checkpoint_that_changed_is_exported_anew_into_another_space(tmp_path: Path, make_model: MakeModel) -> None:
    name = make_model(seed=1)
    first = load(tmp_path / "cache", name)
    vector = first.embed_texts([TEXT])
    make_model(seed=2)

    second = load(tmp_path / "cache", name)

    assert second.space != first.space
    assert float((second.embed_texts([TEXT]) @ vector.T).item()) < 0.99


@pytest.mark.usefixtures("exported_here")
def test_a_checkpoint_replaced_while_it_is_exported_is_exported_again(
    tmp_path: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_model(seed=1)
    load_as_usual = source.load

    def load_and_replace(*arguments: Any) -> source.Source:
        loaded = load_as_usual(*arguments)
        make_model(seed=2)
        return loaded

    monkeypatch.setattr(source, "load", load_and_replace)
    export_here(name, "-", tmp_path / "cache")

    assert find(tmp_path / "cache", name, "-") is None


def test_a_model_serves_after_its_checkpoint_is_gone(tmp_path: Path, make_model: MakeModel) -> None:
    name = make_model()
    export_here(name, "-", tmp_path / "cache")
    shutil.rmtree(tmp_path / "model")

    assert load(tmp_path / "cache", name).dimensions == 64


@pytest.mark.usefixtures("exported_here")
def test_equal_weights_under_two_names_share_one_folder(
    tmp_path: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make_model("one"), make_model("other", file="model.safetensors")
    cache = tmp_path / "cache"
    space = load(cache, one).space
    monkeypatch.delattr(export, "_write")

    assert load(cache, other).space == space
    assert spaces(cache) == {space}
    assert len(list((cache / "names").iterdir())) == 2


@pytest.mark.usefixtures("exported_here")
def test_torch_serves_the_weights_that_were_asked_for_though_another_name_exported_them(
    tmp_path: Path, make_model: MakeModel
) -> None:
    cache = tmp_path / "cache"
    export_here(make_model("one"), "-", cache)
    shutil.rmtree(tmp_path / "one")
    other = make_model("other")
    settings = Settings.load(model_cache_dir=cache, engine="torch", device="cpu", precision="float32")

    model = EmbeddingModel(other, "-", settings=settings)

    assert np.abs(np.linalg.norm(model.embed_texts([TEXT]), axis=1) - 1).max() < 1e-5
    assert spaces(cache) == {model.space}


@pytest.mark.usefixtures("exported_here")
def test_a_cache_that_cant_be_made_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ModelUnavailable, match=r"^MODEL_CACHE_DIR=\S+ can't be written .*$"):
        load(tmp_path / "file" / "cache", name)


@contextmanager
def no_file_over(limit: int) -> Iterator[None]:
    """Let writing fail as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("missing", [10_000_000, 100])
@pytest.mark.usefixtures("exported_here")
def test_a_disk_that_is_full_is_refused_in_one_line_and_leaves_nothing(
    tmp_path: Path, name: str, shelf: tuple[str, Path], missing: int
) -> None:
    room = (found(shelf[1], name).folder / "text.bin").stat().st_size - missing
    cache = tmp_path / "full"

    with no_file_over(room), pytest.raises(ModelUnavailable, match=r"^MODEL_CACHE_DIR=\S+ can't be written .*$"):
        load(cache, name)

    assert spaces(cache) == set()


def test_what_fails_while_it_is_written_leaves_the_old_folder_in_place(name: str, cache: Path) -> None:
    space = found(cache, name).manifest.space

    def fail() -> None:
        with published(cache, space) as folder:
            (folder / "text.bin").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert spaces(cache) == {space}
    found(cache, name)


def test_what_is_written_takes_the_place_of_what_was_there(name: str, cache: Path) -> None:
    space = found(cache, name).manifest.space

    with published(cache, space) as folder:
        (folder / "new").touch()

    assert [file.name for file in (cache / space).iterdir()] == ["new"]
    assert spaces(cache) == {space}


def test_other_users_may_read_what_was_exported(name: str, cache: Path) -> None:
    folder = found(cache, name).folder

    assert folder.stat().st_mode & 0o055 == 0o055


def test_what_a_killed_process_left_is_removed_by_the_next_that_exports(cache: Path) -> None:
    (cache / f"{UNFINISHED}abc").mkdir()
    (cache / f"{UNFINISHED}abc" / "text.bin").touch()

    with exporting(cache):
        assert not list(cache.glob(f"{UNFINISHED}*"))


def test_an_unfinished_folder_is_never_verified(name: str, cache: Path) -> None:
    folder = found(cache, name).folder
    moved = folder.rename(cache / f"{UNFINISHED}abc")

    assert verified(moved) is None
