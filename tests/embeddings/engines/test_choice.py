"""Every way to an engine, a device and a precision, and every refusal."""

import logging
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from app.config import Device, Engine, Settings
from app.embeddings.engines import choice
from app.embeddings.engines.choice import HALF_PRECISION_FLOOR, Choice, choose, choose_precision
from app.errors import ModelUnavailable


@dataclass
class Machine:
    """What is here, as far as the choice can see."""

    gpus: int = 0
    torch: bool = True
    mps: bool = False
    native: tuple[str, ...] = ("float32", "bfloat16")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with torch and a CPU that knows bfloat16; tests take away and add."""
    machine = Machine()
    monkeypatch.setattr(choice, "gpus", lambda: machine.gpus)
    monkeypatch.setattr(choice, "has_nvidia_device", lambda: False)
    monkeypatch.setattr(choice, "_has_torch", lambda: machine.torch)
    monkeypatch.setattr(choice, "_has_mps", lambda: machine.mps)
    monkeypatch.setattr(choice, "_native", lambda precision: precision in machine.native)
    return machine


def asked(**names: str) -> Settings:
    return Settings.load(**names)


@pytest.mark.parametrize(
    ("names", "here", "expected"),
    [
        ({}, {}, Choice("openvino", "cpu")),
        ({}, {"torch": False}, Choice("openvino", "cpu")),
        ({}, {"gpus": 1}, Choice("torch", "cuda")),
        ({}, {"mps": True}, Choice("openvino", "cpu")),
        ({"device": "cpu"}, {"gpus": 1}, Choice("openvino", "cpu")),
        ({"device": "cuda"}, {"gpus": 2}, Choice("torch", "cuda")),
        ({"device": "mps"}, {"mps": True}, Choice("torch", "mps")),
        ({"engine": "openvino"}, {"gpus": 1}, Choice("openvino", "cpu")),
        ({"engine": "torch"}, {}, Choice("torch", "cpu")),
        ({"engine": "torch"}, {"gpus": 1}, Choice("torch", "cuda")),
        ({"engine": "torch", "device": "cpu"}, {"gpus": 1}, Choice("torch", "cpu")),
        ({"engine": "torch", "device": "cuda"}, {"gpus": 1}, Choice("torch", "cuda")),
        ({"engine": "torch", "precision": "float16"}, {"gpus": 1}, Choice("torch", "cuda")),
        ({"precision": "float32"}, {"native": ("float32",)}, Choice("openvino", "cpu")),
        ({"precision": "bfloat16"}, {}, Choice("openvino", "cpu")),
    ],
)
def test_what_was_asked_for_or_else_the_best_that_is_here_is_chosen(
    machine: Machine, names: dict[str, str], here: dict[str, Any], expected: Choice
) -> None:
    vars(machine).update(here)

    assert choose(asked(**names)) == expected


@pytest.mark.parametrize(
    ("names", "here", "told"),
    [
        ({"engine": "openvino", "device": "cuda"}, {"gpus": 1}, ["ENGINE=openvino", "DEVICE=cuda", "ENGINE=torch"]),
        ({"engine": "openvino", "device": "mps"}, {"mps": True}, ["ENGINE=openvino", "DEVICE=mps"]),
        ({"engine": "torch"}, {"torch": False}, ["ENGINE=torch", "torch, which is not installed"]),
        ({"device": "cuda"}, {"torch": False}, ["DEVICE=cuda", "torch, which is not installed"]),
        ({"engine": "torch", "device": "cuda"}, {"torch": False}, ["ENGINE=torch", "not installed"]),
        ({"device": "cuda"}, {}, ["DEVICE=cuda", "no CUDA GPU", "DEVICE=auto"]),
        ({"device": "mps"}, {}, ["DEVICE=mps", "DEVICE=auto"]),
        ({"precision": "float16"}, {}, ["PRECISION=float16", "PRECISION=auto"]),
        ({"precision": "bfloat16"}, {"native": ("float32",)}, ["PRECISION=bfloat16", "PRECISION=auto"]),
    ],
)
def test_what_was_asked_for_by_name_and_isnt_here_is_refused_in_one_line(
    machine: Machine, names: dict[str, str], here: dict[str, Any], told: list[str]
) -> None:
    vars(machine).update(here)

    with pytest.raises(ModelUnavailable) as refusal:
        choose(asked(**names))

    message = str(refusal.value)
    assert "\n" not in message
    assert [words for words in told if words not in message] == []


@pytest.mark.parametrize(
    ("engine", "device", "fidelity", "native", "expected"),
    [
        ("openvino", "cpu", {"float32": 1.0, "bfloat16": 0.99993}, ("float32", "bfloat16"), "bfloat16"),
        ("openvino", "cpu", {"float32": 1.0, "bfloat16": HALF_PRECISION_FLOOR}, ("float32", "bfloat16"), "bfloat16"),
        ("openvino", "cpu", {"float32": 1.0, "bfloat16": 0.99993}, ("float32",), "float32"),
        ("torch", "cuda", {}, ("float32",), "float16"),
        ("torch", "cpu", {"float32": 1.0, "bfloat16": 0.99993}, ("float32", "bfloat16"), "float32"),
        ("torch", "mps", {}, ("float32",), "float32"),
    ],
)
def test_the_fastest_faithful_precision_is_chosen_without_a_warning(
    machine: Machine,
    caplog: pytest.LogCaptureFixture,
    engine: Engine,
    device: Device,
    fidelity: dict[str, float],
    native: tuple[str, ...],
    expected: str,
) -> None:
    machine.native = native

    assert choose_precision(asked(), Choice(engine, device), fidelity) == expected
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("fidelity", "told"), [({"bfloat16": 0.9994}, "0.99940"), ({"float32": 1.0}, "was not measured")]
)
@pytest.mark.usefixtures("machine")
def test_an_unfaithful_half_precision_falls_back_to_float32_with_a_warning(
    caplog: pytest.LogCaptureFixture, fidelity: dict[str, float], told: str
) -> None:
    assert choose_precision(asked(), Choice("openvino", "cpu"), fidelity) == "float32"
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told in warning


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("taken", [Choice("openvino", "cpu"), Choice("torch", "cuda"), Choice("torch", "cpu")])
@pytest.mark.usefixtures("machine")
def test_a_precision_asked_for_by_name_is_taken_whatever_was_measured(taken: Choice, precision: str) -> None:
    assert choose_precision(asked(precision=precision), taken, {"bfloat16": 0.5}) == precision


def test_this_machine_computes_in_float32_and_has_torch() -> None:
    assert choice._native("float32")
    assert choice._has_torch()


def test_torch_without_open_clip_is_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "open_clip" else object())

    assert not choice._has_torch()


@pytest.mark.parametrize(
    ("platform", "status", "expected"), [("darwin", 0, True), ("darwin", 1, False), ("linux", 0, False)]
)
def test_a_macs_gpu_is_asked_for_on_a_mac_alone(
    monkeypatch: pytest.MonkeyPatch, platform: str, status: int, expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(subprocess, "run", lambda command: subprocess.CompletedProcess(command, status))

    assert choice._has_mps() is expected


@pytest.mark.parametrize(("names", "warned"), [({}, True), ({"engine": "openvino"}, False), ({"device": "cpu"}, False)])
def test_a_gpu_that_torch_does_not_see_is_warned_of_unless_the_cpu_was_asked_for(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    names: dict[str, str],
    warned: bool,
) -> None:
    monkeypatch.setattr(choice, "has_nvidia_device", lambda: True)

    assert choose(asked(**names)) == Choice("openvino", "cpu")
    assert ("there is a GPU" in caplog.text) is warned
