"""From names to prepared models: downloads from a stand-in hub, one export whoever asks, and refusals in one line."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub.constants
import pytest
from app.embeddings import EmbeddingModel, export, source
from app.embeddings import model as model_module
from app.embeddings.model import prepare
from app.embeddings.prepared import UNFINISHED, find
from app.errors import ModelUnavailable

from tests.conftest import MakeSettings
from tests.embeddings.conftest import Downloaded, MakeModel, ask, command, export_here, write_model
from tests.hub import DEFAULT_REPOSITORY, WEIGHTS, serving, silent

# Half of it on an idle machine, most of that torch's import; the hub's client left alone retries for about a minute.
NO_HUB_S = 40.0
SILENT_HUB_S = 15.0
EXPORT_S = 120.0


@pytest.fixture
def _hub_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))


@pytest.mark.slow
def test_the_default_settings_download_and_export(downloaded: Downloaded) -> None:
    assert downloaded.done.returncode == 0, downloaded.done.stderr
    assert downloaded.done.stdout.startswith("prepared ViT-B-32 / laion2b_s34b_b79k in ")
    assert f"GET /{DEFAULT_REPOSITORY}/resolve/main/{WEIGHTS}" in downloaded.requests
    assert "Traceback" not in downloaded.done.stderr


@pytest.mark.slow
def test_what_the_default_settings_prepared_loads(downloaded: Downloaded, real: EmbeddingModel) -> None:
    assert real.dimensions == 512
    assert str(downloaded.cache / real.space) in downloaded.done.stdout
    assert real.manifest.pretrained == "laion2b_s34b_b79k"


@pytest.mark.slow
def test_what_was_prepared_needs_no_hub_any_more(downloaded: Downloaded, no_hub: str, tmp_path: Path) -> None:
    environment = {**downloaded.environment, "HF_ENDPOINT": no_hub, "HF_HOME": str(tmp_path)}

    done = command("prepare", environment=environment)

    assert done.returncode == 0, done.stderr
    assert done.stdout == downloaded.done.stdout


@pytest.mark.slow
def test_no_hub_and_nothing_prepared_ends_soon_in_one_line_that_says_what_to_do(no_hub: str, tmp_path: Path) -> None:
    started = time.monotonic()
    done = command(
        "prepare",
        environment={
            "HF_ENDPOINT": no_hub,
            "HF_HOME": str(tmp_path / "hub"),
            "MODEL_CACHE_DIR": str(tmp_path / "cache"),
            "LOG_FORMAT": "json",
        },
    )

    assert time.monotonic() - started < NO_HUB_S
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *_, line = lines = done.stderr.splitlines()
    assert [other for other in lines if other.startswith("tate-embeddings: ")] == [line]
    assert "tate-embeddings prepare" in line
    assert "MODEL_CACHE_DIR" in line
    assert re.search(r"[ =]/\S+", line), "a path, as an example or as it is set"


@pytest.mark.usefixtures("_hub_cache_of_its_own")
def test_a_hub_that_never_answers_is_given_up_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    with silent() as url:
        ask(url, monkeypatch)
        with pytest.raises(
            ModelUnavailable, match=r"^the weights laion2b_s34b_b79k of ViT-B-32 .*tate-embeddings prepare"
        ):
            export_here("ViT-B-32", "laion2b_s34b_b79k", tmp_path / "cache")

    assert time.monotonic() - started < SILENT_HUB_S


@pytest.mark.usefixtures("_hub_cache_of_its_own")
def test_a_hub_without_the_weights_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({}) as hub:
        ask(hub.url, monkeypatch)
        with pytest.raises(ModelUnavailable, match=r"^the weights laion2b_s34b_b79k of ViT-B-32 .*[^.]$") as refusal:
            export_here("ViT-B-32", "laion2b_s34b_b79k", tmp_path / "cache")

    assert "\n" not in str(refusal.value)


@pytest.mark.usefixtures("_hub_cache_of_its_own")
def test_what_was_downloaded_once_is_exported_without_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_hub: str
) -> None:
    write_model(tmp_path / "small", file=WEIGHTS)
    files = {f"tests/small/{file.name}": file for file in (tmp_path / "small").iterdir()}
    with serving(files) as hub:
        ask(hub.url, monkeypatch)
        export_here("hf-hub:tests/small", "-", tmp_path / "first")
    ask(no_hub, monkeypatch)

    export_here("hf-hub:tests/small", "-", tmp_path / "second")

    first, second = (find(tmp_path / cache, "hf-hub:tests/small", "-") for cache in ("first", "second"))
    assert first is not None
    assert second is not None
    assert first.manifest.space == second.manifest.space


def test_weights_on_this_machine_ask_no_hub(
    make_model: MakeModel, vit_b_32: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_model()
    with serving({}) as hub:
        ask(hub.url, monkeypatch)
        source.load(name, "-")
        source.load("ViT-B-32", str(vit_b_32))

    assert hub.requests == []


def refusal_of(architecture: str, pretrained: str, cache: Path) -> str:
    with pytest.raises(ModelUnavailable) as refusal:
        export_here(architecture, pretrained, cache)
    message = str(refusal.value)
    assert "\n" not in message
    return message


@pytest.mark.filterwarnings("ignore")  # torch's tracer warns of what doesn't vary
@pytest.mark.parametrize("cosine", [0.9999, float("nan")])
def test_an_export_that_changed_the_model_is_not_served(
    tmp_path: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, cosine: float
) -> None:
    monkeypatch.setattr(EmbeddingModel, "fidelity", lambda _: cosine)

    with pytest.raises(ModelUnavailable, match="gives other vectors than in open_clip"):
        export.export(make_model(), "-", tmp_path / "cache")

    assert not list((tmp_path / "cache").glob("*/manifest.json"))


def test_an_unknown_architecture_is_named_with_an_example(tmp_path: Path) -> None:
    message = refusal_of("ViT-B-33", "laion2b_s34b_b79k", tmp_path)

    assert message.startswith("MODEL_NAME=ViT-B-33 ")
    assert "MODEL_NAME=ViT-B-32" in message


def test_an_unknown_tag_is_told_the_tags_that_there_are(tmp_path: Path) -> None:
    message = refusal_of("ViT-B-32", "laion3b", tmp_path)

    assert message.startswith("PRETRAINED=laion3b ")
    assert "laion2b_s34b_b79k" in message
    assert "openai" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("weights.pt", b""),
        ("weights.pt", b"<html>\nNot found\n</html>"),
        ("weights.safetensors", b"\x00" * 100),
        ("weights.safetensors", b"PK\x03\x04"),
    ],
)
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    assert refusal_of("ViT-B-32", str(file), tmp_path / "cache").startswith(f"PRETRAINED={file} holds no weights of ")


def test_weights_of_another_architecture_are_no_weights_of_this_one(tmp_path: Path, make_model: MakeModel) -> None:
    make_model("other")
    file = tmp_path / "other" / "open_clip_pytorch_model.bin"

    assert refusal_of("ViT-B-32", str(file), tmp_path / "cache").startswith(f"PRETRAINED={file} holds no weights of ")


def test_a_folder_without_weights_is_not_said_to_want_a_network(tmp_path: Path, make_model: MakeModel) -> None:
    name = make_model()
    (tmp_path / "model" / "open_clip_pytorch_model.bin").unlink()

    message = refusal_of(name, "-", tmp_path / "cache")

    assert f"MODEL_NAME={name}" in message
    assert "network" not in message


@pytest.mark.parametrize("tokenizer", [{"reduction_mask": "simple"}])
def test_a_tokenizer_that_isnt_clips_own_is_refused(
    tmp_path: Path, make_model: MakeModel, tokenizer: dict[str, str]
) -> None:
    name = make_model(text={"tokenizer_kwargs": tokenizer})

    assert refusal_of(name, "-", tmp_path / "cache").startswith(f"MODEL_NAME={name} reads text with a tokenizer ")


@pytest.mark.parametrize(
    ("name", "tag"), [("ViT-B-16-SigLIP", "webli"), ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k")]
)
@pytest.mark.usefixtures("_hub_cache_of_its_own")
def test_a_tokenizer_that_cant_be_downloaded_is_named_before_the_weights_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, tag: str
) -> None:
    with serving({}) as hub:
        ask(hub.url, monkeypatch)
        message = refusal_of(name, tag, tmp_path / "cache")

    assert message.startswith(f"the tokenizer and text configuration of MODEL_NAME={name} are not on this machine ")
    assert "'tate-embeddings prepare'" in message
    assert not [request for request in hub.requests if WEIGHTS in request]


# Torch is imported once, and forked then: a process of its own would take seconds to be where exporting begins.
PROCESSES = """
import json, logging, os, signal, sys
from pathlib import Path
from app.config import Settings
from app.embeddings import EmbeddingModel, export, model

logging.basicConfig(level=logging.INFO, format="%(message)s")
model._export_in_another_process = export.export
name, to_be_killed, shared = sys.argv[1], *map(Path, sys.argv[2:])

def started(work):
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)

def served():
    os.close(opener)
    os.read(gate, 1)  # until the one who opens closes
    settings = Settings.load(model_cache_dir=shared, precision="float32", engine="openvino")
    EmbeddingModel(name, "-", settings=settings).embed_texts(["a stormy sea"])

gate, opener = os.pipe()
processes = [started(served) for _ in range(4)]
os.close(opener)
four = [os.waitpid(process, 0)[1] for process in processes]
process = started(lambda: export.export(name, "-", to_be_killed))
while not list(to_be_killed.glob("unfinished-*/*")):
    assert os.waitpid(process, os.WNOHANG) == (0, 0), "it ended too soon"
os.kill(process, signal.SIGKILL)
print(json.dumps({"four": four, "killed": os.waitpid(process, 0)[1]}))
"""


@dataclass(frozen=True)
class Processes:
    """What became of a process that was killed while it exported, and of four that started at once on one cache."""

    killed: int
    four: list[int]
    left: Path
    shared: Path
    said: str


@pytest.fixture(scope="module")
def processes(small: str, tmp_path_factory: pytest.TempPathFactory) -> Processes:
    left, shared = tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("shared") / "cache"
    command = [sys.executable, "-c", PROCESSES, small, str(left), str(shared)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=EXPORT_S)
    assert done.returncode == 0, done.stderr
    return Processes(**json.loads(done.stdout), left=left, shared=shared, said=done.stderr)


@pytest.mark.slow
def test_four_processes_that_start_at_once_on_an_empty_cache_all_serve(processes: Processes) -> None:
    assert processes.four == [0, 0, 0, 0], processes.said


@pytest.mark.slow
def test_four_processes_that_start_at_once_export_once(processes: Processes) -> None:
    assert processes.said.count("lowest cosine to open_clip in float32") == 1
    assert len([entry for entry in processes.shared.iterdir() if entry.is_dir()]) == 2  # the space and the names


@pytest.mark.slow
def test_a_process_killed_while_it_exports_leaves_nothing_that_is_served(
    processes: Processes, small: str, tmp_path: Path
) -> None:
    cache = Path(shutil.copytree(processes.left, tmp_path / "cache"))

    assert processes.killed == signal.SIGKILL
    assert list(cache.glob(f"{UNFINISHED}*/*"))
    assert find(cache, small, "-") is None


@pytest.mark.slow
def test_the_export_after_a_killed_one_succeeds_and_cleans_up(processes: Processes, small: str, tmp_path: Path) -> None:
    cache = Path(shutil.copytree(processes.left, tmp_path / "cache"))

    export_here(small, "-", cache)

    assert find(cache, small, "-") is not None
    assert not list(cache.glob(f"{UNFINISHED}*"))


def test_the_process_that_exports_brings_its_refusal_back(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("import sys; print('first'); print('the last line'); sys.exit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # a torch that refuses at once

    with pytest.raises(ModelUnavailable, match=r"^the last line$"):
        prepare(make_settings(model_cache_dir=tmp_path / "cache"))


@pytest.mark.parametrize(
    ("end", "status"), [("sys.exit(1)", "1"), ("os.abort()", "-6"), ("os.kill(os.getpid(), 9)", "-9")]
)
def test_a_process_that_dies_while_it_exports_is_named_with_its_status(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, status: str
) -> None:
    (tmp_path / "torch.py").write_text(
        f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); {end}"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(ModelUnavailable, match=f"^preparing .* failed with exit status {status}$"):
        prepare(make_settings(model_cache_dir=tmp_path / "cache"))


def test_an_export_that_left_nothing_is_refused(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "_export_in_another_process", lambda *_: None)

    with pytest.raises(ModelUnavailable, match="can't be read back"):
        prepare(make_settings(model_cache_dir=tmp_path))


def test_preparing_without_torch_says_where_there_is_one(
    make_settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ModelUnavailable, match="tate-embeddings prepare") as refusal:
        prepare(make_settings(model_cache_dir=tmp_path))

    assert "\n" not in str(refusal.value)
    assert f"MODEL_CACHE_DIR={tmp_path}" in str(refusal.value)
    assert list(tmp_path.iterdir()) == []
