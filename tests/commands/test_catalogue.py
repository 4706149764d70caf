"""`tate-embeddings catalogue` as an operator meets it: on the bundled model, with a host on loopback."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app import cli
from app.catalogue.places import written_by_us
from app.config import Settings
from app.embeddings import EmbeddingModel

from tests.catalogue.conftest import picture
from tests.commands.conftest import Live
from tests.conftest import TOKEN
from tests.images.hosts import Host, content

ROOT = Path(__file__).parents[2]

Run = Callable[..., int]


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of five images, one of them broken."""
    host = Host()
    host.answers |= {f"/{number}.png": content(picture(number)) for number in range(4)}
    host.answers["/broken.png"] = content(b"no image at all")
    yield host
    host.close()


@pytest.fixture(scope="module")
def bundled() -> EmbeddingModel:
    """The bundled model, loaded."""
    return EmbeddingModel("tiny-gallery", "bundled", settings=Settings.load(precision="float32"))


@pytest.fixture(autouse=True)
def _on_the_bundled_model(bundled: EmbeddingModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("app.commands.local.EmbeddingModel", lambda *_, **__: bundled)
    monkeypatch.setenv("MODEL_NAME", "tiny-gallery")
    monkeypatch.setenv("PRECISION", "float32")
    monkeypatch.setenv("ALLOW_PRIVATE_NETWORKS", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def artworks(tmp_path: Path, host: Host) -> Path:
    """A list of three artworks."""
    lines = [{"id": f"work-{number}", "url": host.url(f"/{number}.png"), "year": 1900 + number} for number in range(3)]
    file = tmp_path / "artworks.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def run(stage: str, *arguments: "str | Path") -> int:
    return cli.main(["catalogue", stage, *map(str, arguments)])


def ids(folder: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (folder / "metadata.jsonl").read_text().splitlines()]


def figures(file: Path) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(\w+)\{[^}]*\} (.*)$", file.read_text(), re.MULTILINE)}


def test_a_list_becomes_files_and_an_index(tmp_path: Path, artworks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("run", artworks, "--dir", "catalogue") == 0

    folder = tmp_path / "catalogue"
    assert ids(folder) == ["work-0", "work-1", "work-2"]
    vectors = np.load(folder / "embeddings.npy", mmap_mode="r")
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (folder / "faiss.index").exists()
    assert capsys.readouterr().out.splitlines() == [
        "list: 3 rows",
        "download: 3 of 3 URLs asked for, 3 new or changed, 0 unchanged, 0.0 MB; none failed",
        "embed: 3 images computed, 3 rows and 0 gone from the list; none failed",
        "index: 3 put in, 0 taken out, 3 items",
    ]


def test_a_second_run_asks_nobody_and_computes_nothing(
    artworks: Path, host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("run", artworks, "--dir", "catalogue")
    host.asked.clear()
    capsys.readouterr()
    monkeypatch.setattr("app.commands.pictures.LocalModel", None)

    assert run("run", artworks, "--dir", "catalogue") == 0

    assert host.asked == []
    assert "download: 0 of 3 URLs" in capsys.readouterr().out


def test_the_stages_can_be_taken_one_by_one(tmp_path: Path, artworks: Path) -> None:
    for stage in ("download", "embed", "index"):
        assert run(stage, artworks, "--dir", "catalogue") == 0

    assert ids(tmp_path / "catalogue") == ["work-0", "work-1", "work-2"]


def test_the_list_may_come_through_a_pipe(artworks: Path, host: Host, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "catalogue", "run", "-", "--dir", tmp_path / "catalogue"],
        input=f"# two artworks\n{host.url('/0.png')}\n{host.url('/1.png')}\n",
        cwd=ROOT,
        env=os.environ,
        text=True,
        capture_output=True,
    )

    assert done.returncode == 0, done.stderr
    assert len(ids(tmp_path / "catalogue")) == 2


def test_what_fails_is_summed_up_and_costs_no_other_its_row(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = Host()
    dead.close()
    host.answers["/missing.png"] = lambda request: request.send_error(404)
    lines = ["id,url", f"good,{host.url('/0.png')}", f"broken,{host.url('/broken.png')}", "nowhere,"]
    lines += [f"missing,{host.url('/missing.png')}", f"dead,{dead.url('/0.png')}", f"good,{host.url('/1.png')}"]
    (tmp_path / "artworks.csv").write_text("\n".join(lines))

    assert run("run", "artworks.csv", "--dir", "catalogue") == 1

    assert ids(tmp_path / "catalogue") == ["good"]
    said = capsys.readouterr().out
    assert "list: line 4: " in said
    assert "list: line 7: " in said
    assert "2 have no image, or only an old one (1 image_not_found, 1 image_host_failed)" in said
    assert "3 have no vector, or only an old one (2 no_image, 1 not_an_image)" in said


def test_an_empty_list_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "artworks.txt").write_text("# nothing yet\n")

    assert run("run", "artworks.txt", "--dir", "catalogue") == 0
    assert run("status", "artworks.txt", "--dir", "catalogue") == 0


def test_what_is_gone_from_the_list_is_removed_if_that_is_wanted(tmp_path: Path, artworks: Path) -> None:
    run("run", artworks, "--dir", "catalogue")
    artworks.write_text("".join(artworks.read_text().splitlines(keepends=True)[:2]))
    folder = tmp_path / "catalogue"
    assert run("run", artworks, "--dir", "catalogue") == 0
    assert len(ids(folder)) == 3

    assert run("run", artworks, "--dir", "catalogue", "--prune") == 0

    assert ids(folder) == ["work-0", "work-1"]
    assert len(np.load(folder / "embeddings.npy")) == 2
    assert len((folder / "manifest.jsonl").read_text().splitlines()) == 2
    assert len([file for file in (folder / "images").rglob("*") if file.is_file()]) == 2
    assert run("status", "--dir", "catalogue") == 0


def test_images_manifest_and_vectors_may_lie_apart(tmp_path: Path, artworks: Path) -> None:
    apart = ["--dir", "nowhere", "--images-dir", "a/images", "--manifest-path", "a/list.jsonl", "--output-dir", "b"]

    assert run("run", artworks, *apart) == 0

    assert not (tmp_path / "nowhere").exists()
    assert {file.name for file in (tmp_path / "a").iterdir()} >= {"images", "list.jsonl"}
    line = json.loads((tmp_path / "b" / "metadata.jsonl").read_text().splitlines()[0])
    assert (tmp_path / "b" / line["path"]).read_bytes() == picture(0)


def test_parts_of_a_list_make_up_the_whole(tmp_path: Path, artworks: Path) -> None:
    for part in ("1/2", "2/2"):
        assert run("run", artworks, "--dir", f"part-{part[0]}", "--shard", part) == 0

    found = ids(tmp_path / "part-1") + ids(tmp_path / "part-2") if (tmp_path / "part-1").exists() else []
    assert sorted(found) == ["work-0", "work-1", "work-2"]


def test_a_stage_can_be_left_to_another_command(tmp_path: Path, artworks: Path, host: Host) -> None:
    apart = ["--dir", "catalogue", "--images-dir", "images"]
    assert run("run", artworks, *apart, "--without", "download") == 1, "there are no images yet"
    assert host.asked == []
    run("download", artworks, *apart)

    with written_by_us(tmp_path / "catalogue", "manifest"):
        assert run("run", artworks, *apart, "--without", "download") == 0

    assert ids(tmp_path / "catalogue") == ["work-0", "work-1", "work-2"]


def test_pruning_leaves_to_the_other_command_what_that_one_writes(tmp_path: Path, artworks: Path) -> None:
    run("run", artworks, "--dir", "catalogue")
    artworks.write_text("".join(artworks.read_text().splitlines(keepends=True)[:2]))
    folder = tmp_path / "catalogue"

    assert run("run", artworks, "--dir", "catalogue", "--without", "download", "--prune") == 0

    assert ids(folder) == ["work-0", "work-1"]
    assert len((folder / "manifest.jsonl").read_text().splitlines()) == 3
    assert len([file for file in (folder / "images").rglob("*") if file.is_file()]) == 3


def test_it_can_be_done_again_and_again(
    tmp_path: Path, artworks: Path, host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def next_day(seconds: float) -> None:
        assert seconds == 24 * 3600
        if "/3.png" in artworks.read_text():
            raise KeyboardInterrupt
        with artworks.open("a") as file:
            file.write(json.dumps({"id": "work-3", "url": host.url("/3.png")}) + "\n")

    monkeypatch.setattr("app.commands.rounds.wait", next_day)

    assert run("run", artworks, "--dir", "catalogue", "--every", "1d") == 130

    assert ids(tmp_path / "catalogue") == [f"work-{number}" for number in range(4)]
    assert "download: 1 of 4 URLs asked for" in capsys.readouterr().out
    assert run("status", "--dir", "catalogue", "--healthy", "run") == 0


def test_what_fails_does_not_end_it(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "artworks.txt").write_text(host.url("/broken.png"))
    waited = []

    def no_more(seconds: float) -> None:
        waited.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr("app.commands.rounds.wait", no_more)

    assert run("run", "artworks.txt", "--dir", "catalogue", "--every", "1h") == 130

    assert waited == [3600]
    assert "1 not_an_image" in capsys.readouterr().out
    assert run("status", "--dir", "catalogue", "--healthy", "run") == 0


def test_a_list_that_is_not_there_ends_it_at_once_and_is_seen_by_health_checks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("download", "no-such-list.csv", "--dir", "catalogue", "--every", "1h") == 1
    assert "no-such-list.csv" in capsys.readouterr().err

    assert run("status", "--dir", "catalogue", "--healthy", "download") == 1
    assert capsys.readouterr().out == "download: its last run was broken off\n"


def test_a_list_from_standard_input_is_taken_only_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("download", "-", "--dir", "catalogue", "--every", "1h") == 1

    assert "--every" in capsys.readouterr().err


def test_sigterm_ends_it_at_once_wherever_it_is(tmp_path: Path, artworks: Path, host: Host) -> None:
    asked, answer = threading.Event(), threading.Event()

    def silent(_: BaseHTTPRequestHandler) -> None:
        asked.set()
        answer.wait(60)

    host.answers["/2.png"] = silent
    words = ["catalogue", "run", str(artworks), "--dir", str(tmp_path / "c"), "--every", "1h"]
    command = [sys.executable, "-m", "app.cli", *words]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ, text=True, stderr=subprocess.PIPE)
    try:
        assert asked.wait(60)
        process.terminate()
        _, log = process.communicate(timeout=10)
    finally:
        process.kill()
        answer.set()

    assert (process.returncode, log) == (0, "")
    host.answers["/2.png"] = content(picture(2))
    assert run("run", artworks, "--dir", tmp_path / "c") == 0
    assert ids(tmp_path / "c") == ["work-0", "work-1", "work-2"]


def test_a_run_leaves_its_figures_for_prometheus(tmp_path: Path, artworks: Path) -> None:
    run("run", artworks, "--dir", "catalogue")

    found = figures(tmp_path / "catalogue" / "catalogue-run.prom")
    assert found["catalogue_succeeded"] == 1
    assert found["catalogue_download_success_ratio"] == 1
    assert found["catalogue_download_bytes"] == sum(len(picture(number)) for number in range(3))
    assert found["catalogue_embedded"] == found["catalogue_rows"] == found["catalogue_index_items"] == 3
    assert found["catalogue_embedding_rate"] > 0
    assert (
        found["catalogue_started_timestamp_seconds"]
        <= found["catalogue_ended_timestamp_seconds"]
        <= found["catalogue_heartbeat_timestamp_seconds"]
    )


def test_a_run_that_fails_says_so_to_prometheus(tmp_path: Path, host: Host) -> None:
    (tmp_path / "artworks.txt").write_text(host.url("/broken.png"))

    assert run("run", "artworks.txt", "--dir", "catalogue") == 1

    text = (tmp_path / "catalogue" / "catalogue-run.prom").read_text()
    assert 'catalogue_embedding_failures{code="not_an_image",command="run"} 1.0' in text
    assert figures(tmp_path / "catalogue" / "catalogue-run.prom")["catalogue_succeeded"] == 0


def test_every_line_of_the_log_has_the_run_s_id(tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "artworks.txt").write_text(f"{host.url('/0.png')}\n{host.url('/broken.png')}")

    run("run", "artworks.txt", "--dir", "catalogue")

    said = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    history = json.loads((tmp_path / "catalogue" / "embedding_manifest.jsonl").read_text())
    assert said
    assert {line["run"] for line in said} == {history["run"]}


@pytest.mark.parametrize("part", ["manifest", "rows"])
def test_one_command_at_a_time_changes_a_catalogue(
    tmp_path: Path, artworks: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    with written_by_us(tmp_path / "catalogue", part):
        assert run("run", artworks, "--dir", "catalogue") == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert f"another command is changing {part}" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "no-such-list.csv", "--dir", "catalogue"], "no-such-list.csv"),
        (["run", "artworks.jsonl", "--dir", "artworks.jsonl/below"], "can't be written"),
        (
            ["embed", "artworks.jsonl", "--dir", "catalogue", "--service", "http://127.0.0.1:9", "--token", "t"],
            "127.0.0.1",
        ),
    ],
)
def test_what_can_t_be_done_ends_in_one_line(
    artworks: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(*arguments) == 1

    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")]
    assert line.startswith("tate-embeddings: ")
    assert said in line


@pytest.mark.parametrize("arguments", [["--max-age", "soon"], ["--max-age", "-1"], ["--shard", "3/2"]])
def test_wrong_words_are_refused_before_anything_is_done(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("run", "artworks.txt", "--dir", "catalogue", *arguments)
    assert not (tmp_path / "catalogue").exists()


def test_an_index_of_another_model_is_refused_until_it_is_made_anew(
    tmp_path: Path, artworks: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("run", artworks, "--dir", "catalogue")
    monkeypatch.setenv("DECODING", "fast")  # which is another space

    assert run("run", artworks, "--dir", "catalogue") == 1
    assert "--rebuild" in capsys.readouterr().err
    assert run("run", artworks, "--dir", "catalogue", "--rebuild") == 0
    assert run("run", artworks, "--dir", "catalogue") == 0


def test_a_damaged_index_says_what_helps(tmp_path: Path, artworks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("run", artworks, "--dir", "catalogue")
    (tmp_path / "catalogue" / "faiss.index").write_bytes(b"damaged")

    assert run("run", artworks, "--dir", "catalogue") == 1
    assert "damaged" in capsys.readouterr().err
    assert run("run", artworks, "--dir", "catalogue", "--rebuild") == 0


def test_a_service_can_compute_the_vectors(
    tmp_path: Path, artworks: Path, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.commands.pictures.prepare", None)  # no model is looked for here

    assert run("run", artworks, "--dir", "catalogue", "--service", live.url, "--token", TOKEN) == 0

    assert ("POST", "/embed/image") in live.called
    history = json.loads((tmp_path / "catalogue" / "embedding_manifest.jsonl").read_text())
    assert (history["dimensions"], history["computed"]) == (64, 3)


def test_how_a_catalogue_is_can_be_asked(artworks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("run", artworks, "--dir", "catalogue")
    capsys.readouterr()

    assert run("status", artworks, "--dir", "catalogue") == 0

    said = capsys.readouterr().out
    assert "3 ok, 0 failed, 0 dead" in said
    assert re.search(r"rows +3 of space d6d3ca722b48ec52", said)
    assert re.search(r"index +3 items of space d6d3ca722b48ec52, faiss, search: exact", said)


def test_a_bar_moves_for_whoever_watches(artworks: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    assert run("run", artworks, "--dir", "catalogue") == 0

    said = capsys.readouterr().err
    assert re.search(r"█+ download: 3 of 3, [\d,]+/s, 0:00 left", said)
    assert "embed: 3 of 3" in said
    assert "index: 3 of 3" in said
