"""Which engine, device and precision to use: what was asked for by name, or else the best that is here."""

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from app.config import Device, Engine, Precision, Settings
from app.errors import ModelUnavailable
from app.resources import gpus, has_nvidia_device

logger = logging.getLogger(__name__)

# The lowest cosine to open_clip in float32 at which half precision is used without being asked for.
HALF_PRECISION_FLOOR = 0.9995


@dataclass(frozen=True)
class Choice:
    """An engine and the device it computes on; both are here."""

    engine: Engine
    device: Device


def choose(settings: Settings) -> Choice:
    """Choose by the settings and by what this machine has.

    Raises:
        ModelUnavailable: something that was asked for by name isn't here.
    """
    device = settings.device
    if device == "auto":
        device = "cuda" if settings.engine != "openvino" and gpus() else "cpu"
        if device == "cpu" and settings.engine != "openvino" and has_nvidia_device():
            logger.warning(
                "using the CPU: there is a GPU, but no torch that sees it; the image's 'full' target has one"
            )
    engine = settings.engine
    if engine == "auto":
        engine = "openvino" if device == "cpu" else "torch"
    if engine == "openvino" and device != "cpu":
        raise ModelUnavailable(f"ENGINE=openvino computes on the CPU only; for DEVICE={device} set ENGINE=torch")
    if engine == "torch" and not _has_torch():
        wanted = "ENGINE=torch" if settings.engine == "torch" else f"DEVICE={device}"
        raise ModelUnavailable(
            f"{wanted} needs torch, which is not installed here: use the image's 'full' target, or 'poetry install'"
        )
    if device == "cuda" and not gpus():
        raise ModelUnavailable("DEVICE=cuda was asked for, but no CUDA GPU is visible; DEVICE=auto would use the CPU")
    if device == "mps" and not _has_mps():
        raise ModelUnavailable("DEVICE=mps was asked for, but this is no Mac with a GPU; DEVICE=auto would use the CPU")
    if engine == "openvino" and settings.precision != "auto" and not _native(settings.precision):
        raise ModelUnavailable(
            f"PRECISION={settings.precision} was asked for, but this CPU doesn't compute in it; "
            "PRECISION=auto would choose one that it does"
        )
    return Choice(engine, device)


def choose_precision(settings: Settings, choice: Choice, fidelity: Mapping[str, float]) -> Precision:
    """The precision asked for, or the fastest that keeps close enough to `open_clip` in float32."""
    if settings.precision != "auto":
        return settings.precision
    if choice.engine == "torch":
        return "float16" if choice.device == "cuda" else "float32"
    if not _native("bfloat16"):
        return "float32"
    measured = fidelity.get("bfloat16")
    if measured is None or measured < HALF_PRECISION_FLOOR:
        found = "was not measured" if measured is None else f"gives cosine {measured:.5f}"
        logger.warning(
            "using float32: bfloat16 %s for these weights where %s is the floor", found, HALF_PRECISION_FLOOR
        )
        return "float32"
    return "bfloat16"


def _native(precision: Precision) -> bool:
    from app.embeddings.engines.openvino import native

    return native(precision)


def _has_torch() -> bool:
    return all(importlib.util.find_spec(package) is not None for package in ("torch", "open_clip"))


def _has_mps() -> bool:
    if sys.platform != "darwin":
        return False
    question = "import sys, torch; sys.exit(not torch.backends.mps.is_available())"
    return subprocess.run([sys.executable, "-c", question]).returncode == 0
