"""What workers of a cluster do with images, and that a command on Ray gives what one without it gives."""

import io
import os
import pickle
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np
import pytest
from app.catalogue import ray_stages
from app.catalogue.images import keep
from app.catalogue.journal import Journal
from app.catalogue.manifest import Entry, Manifest
from app.catalogue.on_ray import OnRay
from app.catalogue.places import Places
from app.catalogue.ray_stages import Columns, Computing, Decoding, for_workers
from app.catalogue.rows import Rows
from app.cli import main
from app.commands.pictures import Here
from app.config import Settings
from app.embeddings.model import prepare
from app.embeddings.preprocess import Preprocessing
from app.errors import CatalogueUnusable, ModelUnavailable
from PIL import Image

from tests.catalogue.nightly import BATCH, embedded
from tests.conftest import TOKEN, MakeSettings
from tests.endurance import procfs
from tests.images import harm

PATIENCE_S = 120.0
# Of these one hinders the command that is killed; for what else is listed there are no vectors.
IMAGES, UNUSABLE = 6 * BATCH, 3
# In float32, so that two runs give the same vectors.
MODEL = {"model_name": "tiny-gallery", "precision": "float32"}
# As the kernel writes addresses of loopback: in version 4, the same in version 6, and version 6's own.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}

Known = Callable[..., Mapping[str, Any]]


def image(number: int) -> bytes:
    """One that is unlike the others."""
    stream = io.BytesIO()
    colours = np.random.default_rng(number).integers(0, 256, (4, 5, 3), np.uint8)
    Image.fromarray(colours).resize((60, 48)).save(stream, "PNG")
    return stream.getvalue()


def batch_of(folder: Path, *images: bytes) -> Columns:
    """Images as the first stage gets them."""
    kept = [keep(folder, data) for data in images]
    digests, paths = [digest for digest, _ in kept], [str(folder / path) for _, path in kept]
    return {"sha256": np.array(digests, object), "path": np.array(paths, object)}


def harmful(what: Callable[[Image.Image], Any]) -> Preprocessing:
    """What does something to its decoder, in the place of a model's preprocessing."""
    preprocess = partial(what)
    vars(preprocess).update(height=2, width=2)
    return cast(Preprocessing, preprocess)


@pytest.fixture
def known(make_settings: MakeSettings) -> Known:
    """What workers know of settings."""
    return lambda **changes: for_workers(make_settings(**changes), "cpu", own_cache=False)


@pytest.mark.parametrize(("what", "code"), [(harm.crash, "image_corrupt"), (harm.hang, "decode_timeout")])
def test_an_image_that_harms_its_decoder_costs_its_own_row(
    what: Callable[[Image.Image], Any], code: str, known: Known, tmp_path: Path
) -> None:
    with closing(Decoding(known(decode_timeout_s=0.3), harmful(what))) as decoding:
        batches = [batch_of(tmp_path, image(number), b"no image") for number in (1, 2)]
        codes = [[*decoding(batch)["code"]] for batch in batches]

    assert codes == [[code, "not_an_image"]] * 2


def test_what_is_wrong_with_an_image_stands_in_its_row(known: Known, tmp_path: Path) -> None:
    preprocessing = prepare(Settings.load(**MODEL)).manifest.preprocessing
    batch = batch_of(tmp_path, image(1), image(2), image(3), image(4)[:2000], bytes(5000))
    Path(batch["path"][1]).unlink()
    Path(batch["path"][2]).write_bytes(image(5))

    with closing(Decoding(known(max_image_bytes=4999), preprocessing)) as decoding:
        decoded = decoding(batch)

    assert [*decoded["code"]] == ["", "image_not_found", "image_changed_on_disk", "image_corrupt", "too_large"]
    assert decoded["detail"][1] == "The file can't be read: No such file or directory."
    assert (decoded["width"][0], decoded["height"][0]) == (60, 48)
    assert decoded["pixels"][0].any()
    assert not decoded["pixels"][1:].any()


def test_a_defect_comes_back_for_the_log(known: Known, tmp_path: Path) -> None:
    with closing(Decoding(known(), harmful(harm.fail))) as decoding:
        decoded = decoding(batch_of(tmp_path, image(1)))

    assert [*decoded["code"]] == ["internal"]
    assert "ZeroDivisionError" in decoded["defect"][0]


def test_an_engine_that_fails_costs_the_rows_that_it_was_given(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("the engine is broken")

    model = SimpleNamespace(space="a space", dimensions=8, embed_pixels=fail)
    monkeypatch.setattr(ray_stages, "EmbeddingModel", lambda *_, **__: model)
    columns = {"code": ["", "image_corrupt"], "detail": ["", "The image is damaged."], "defect": ["", ""]}
    batch = {name: np.array(values, object) for name, values in columns.items()}

    computed = Computing(known(), "a space")({**batch, "pixels": np.zeros((2, 2, 2, 3), np.uint8)})

    assert [*computed["code"]] == ["internal", "image_corrupt"]
    assert computed["detail"][1] == "The image is damaged."
    assert "the engine is broken" in computed["defect"][0]


def test_a_worker_with_another_model_ends_it(known: Known) -> None:
    computing = Computing(known(**MODEL), "another space")

    with pytest.raises(ModelUnavailable, match="another space"):
        computing({})


def test_workers_learn_no_secret_and_have_a_folder_of_models_of_their_own(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = make_settings(
        index_url="postgresql://user:hidden@host/db", gallery_password="concealed", max_image_pixels=1234
    )

    told = for_workers(settings, "cpu", own_cache=True)
    monkeypatch.setenv("MODEL_CACHE_DIR", str(tmp_path))
    there = Settings.load(**told)

    assert not any(secret in pickle.dumps(told) for secret in (TOKEN.encode(), b"hidden", b"concealed"))
    assert (there.max_image_pixels, there.model_name, there.device) == (1234, settings.model_name, "cpu")
    assert there.model_cache_dir == tmp_path


def test_a_gpu_is_needed_where_the_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.embeddings.engines.choice.gpus", lambda: 0)
    settings = Settings.load(**MODEL, device="cuda")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    with pytest.raises(ModelUnavailable, match="no CUDA GPU"):
        OnRay(settings)

    monkeypatch.setenv("RAY_ADDRESS", "a-cluster:6379")
    OnRay(settings)


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with (
        mock.patch.dict(os.environ),
        pytest.raises(CatalogueUnusable, match=r"needs ray.*: poetry install --with ray$"),
        OnRay(Settings.load(**MODEL)).computing(),
    ):
        pass


def test_a_service_and_ray_are_not_asked_for_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["catalogue", "embed", "list.txt", "--dir", "d", "--service", "http://host", "--runner", "ray"])

    assert "not allowed with" in capsys.readouterr().err


@dataclass
class Night:
    """What came of a catalogue whose first command was killed, and of an equal one without Ray."""

    # Images whose vectors the killed command has left, and what the next one said.
    left: int
    said: str
    here: Rows
    there: Rows
    # Where Ray listened, and which of its processes there are when it has ended.
    addresses: set[str]
    processes: list[int]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """One Ray is started for all of it: two commands use it as a cluster that is there already."""
    folder = tmp_path_factory.mktemp("night") / "catalogue"
    other = folder.with_name("other")
    images = [image(number) for number in range(IMAGES)]
    last, missing = images[-1], image(101)
    paths = written(folder, [*images, image(100)[:2000], b"no image", missing])
    paths[missing].unlink()
    shutil.copytree(folder, other)
    # Who opens it waits, until the test is done with whoever that is.
    paths[last].unlink()
    os.mkfifo(paths[last])

    marker = f"night-{secrets.token_hex(8)}"
    environment = environment_of(marker, tmp_path_factory.mktemp("stub"))
    with process("ray", environment=environment) as (_, said):
        here = Here(Settings.load(**MODEL))
        embedded(other, here)
        environment |= {"RAY_ADDRESS": next(said).strip()}
        addresses = listening(procfs.marked(marker))
        with process("embed", str(folder), environment=environment) as (command, done):
            next(line for line in done if int(line) >= BATCH)
            command.kill()
        left = len(Journal(folder, here.space, here.dimensions).pictures)
        paths[last].unlink()
        paths[last].write_bytes(last)
        words = ["catalogue", "embed", str(folder / "list.txt"), "--dir", str(folder), "--runner", "ray"]
        told = subprocess.run(
            [sys.executable, "-m", "app.cli", *words],
            env=environment, stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S,
        ).stdout  # fmt: skip
    return Night(left, told, Rows.read(other), Rows.read(folder), addresses, ended(marker))


def written(folder: Path, images: list[bytes]) -> dict[bytes, Path]:
    """A list and a manifest as a download leaves them, and where each image is."""
    places = Places.of(folder, None, None, None)
    places.images.mkdir(parents=True)
    manifest, paths = Manifest(places.manifest), {}
    with manifest.changing():
        for number, data in enumerate(images):
            digest, path = keep(places.images, data)
            manifest.put(Entry(f"http://host/{number}", "ok", 0, sha256=digest, path=path, bytes=len(data)))
            paths[data] = places.images / path
    (folder / "list.txt").write_text("".join(f"http://host/{number}\n" for number in range(len(images))))
    return paths


def environment_of(marker: str, stub: Path) -> dict[str, str]:
    """That of Ray's processes and of those that use it."""
    # A package that only the tests have takes two seconds to import, and Ray's processes, which are many, import it.
    (stub / "rfc3987_syntax.py").write_text("raise ImportError\n")
    model = {name.upper(): value for name, value in MODEL.items()}
    shared = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    shared["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    return {**os.environ, **model, **shared, "NIGHT": marker, "PYTHONPATH": str(stub)}


@contextmanager
def process(*words: str, environment: dict[str, str]) -> Iterator[tuple["subprocess.Popen[str]", Iterator[str]]]:
    """A process of `nightly.py`, and what it says. At the end it is told to end; if that takes long, it is killed."""
    command = [sys.executable, "-m", "tests.catalogue.nightly", *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as started:
        assert started.stdin
        assert started.stdout
        watch = threading.Timer(PATIENCE_S, started.kill)
        watch.start()
        try:
            yield started, started.stdout
            started.stdin.close()
            started.wait()
        finally:
            started.kill()
            watch.cancel()


def listening(numbers: list[int]) -> set[str]:
    """The addresses, as the kernel writes them, at which processes wait for connections."""
    sockets = {link[8:-1] for number in numbers for link in procfs.descriptors(number).values() if "socket:[" in link}
    table = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {line[1].partition(":")[0] for line in table if line[3] == procfs.LISTENING and line[9] in sockets}


def ended(marker: str) -> list[int]:
    """Processes that don't end, of those that are marked."""
    pace, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while (left := procfs.marked(marker)) and time.monotonic() < deadline:
        pace.wait(0.1)
    return left


@pytest.mark.slow
def test_a_command_that_is_killed_leaves_what_it_has_computed(night: Night) -> None:
    assert BATCH <= night.left < IMAGES


@pytest.mark.slow
def test_the_next_command_computes_only_the_rest(night: Night) -> None:
    assert f"embed: {IMAGES + UNUSABLE - night.left} images computed, {IMAGES} rows" in night.said


@pytest.mark.slow
def test_rows_and_failures_are_those_of_one_process(night: Night) -> None:
    assert [row._replace(embedded_at=0) for row in night.there.rows] == [
        row._replace(embedded_at=0) for row in night.here.rows
    ]
    assert len(night.there.failures) == UNUSABLE
    assert night.there.failures == night.here.failures


@pytest.mark.slow
def test_vectors_are_those_of_one_process(night: Night) -> None:
    cosines = (night.here.vectors * night.there.vectors).sum(axis=1)

    assert len(cosines) == IMAGES
    assert cosines.min() >= 0.999999


@pytest.mark.slow
def test_ray_of_ones_own_listens_on_loopback_alone(night: Night) -> None:
    assert night.addresses
    assert night.addresses <= LOOPBACK


@pytest.mark.slow
def test_nothing_of_ray_is_left(night: Night) -> None:
    assert night.processes == []
