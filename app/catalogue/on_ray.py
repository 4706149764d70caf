"""Images to vectors on Ray Data, for a cluster: one pool of workers decodes, another one has the model.

Both grow by themselves while there is room. Every node must have this package with Ray, the model, and the folder of
the images under the path that it has here: workers read images where they are. Vectors come back a batch at a time, so
that whoever is killed loses only what is on its way.
"""

import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.catalogue.embedding import Compute, Unusable, described
from app.catalogue.journal import Picture
from app.catalogue.ray_stages import CORES_OF_A_MODEL, Columns, Computing, Decoding, for_workers
from app.config import Device, Settings
from app.embeddings.engines.choice import choose
from app.embeddings.model import prepare
from app.errors import CatalogueUnusable, ModelUnavailable, StartError
from app.resources import cores

logger = logging.getLogger(__name__)

# Images that go through the stages together: as many as a GPU takes at once, and enough for what Ray spends on each
# batch not to count; few enough that little is lost with a process.
BATCH = 64

# What `RAY_ADDRESS` may say, and what is meant where it says nothing: a Ray of this machine's own.
LOCAL = "local"
# Ray takes most of the hundred characters that the path of a socket may have, and sockets lie in this folder.
SHORT_FOLDER = "/tmp"


class OnRay:
    """The model that the settings name, on the cluster of `RAY_ADDRESS`, or else on a Ray of this machine's own."""

    def __init__(self, settings: Settings) -> None:
        """Find out which it is.

        Raises:
            ModelUnavailable: it can't be had.
        """
        self._address = os.environ.get("RAY_ADDRESS") or LOCAL
        # A cluster may have the GPU that is asked for by name, where this machine has none.
        elsewhere = self._address != LOCAL and settings.device == "cuda"
        self._device: Device = "cuda" if elsewhere else choose(settings).device
        self._settings = settings
        self._manifest = prepare(settings, thoroughly=False).manifest
        self.space = self._manifest.space
        self.dimensions = self._manifest.dimensions

    def describe(self) -> Mapping[str, Any]:
        return described(self._settings, self._manifest)

    @contextmanager
    def computing(self) -> Iterator[Compute]:
        known = for_workers(self._settings, self._device, own_cache=self._address != LOCAL)
        with connected(self._address) as ray:
            yield lambda images: self._computed(ray, images, known)

    def _computed(
        self, ray: Any, images: Mapping[str, Path], known: Mapping[str, Any]
    ) -> Iterator[Mapping[str, Picture | Unusable]]:
        a_decoder, a_model = _shares(ray, on_gpu=self._device == "cuda")
        pool = {"batch_size": BATCH, "compute": ray.data.ActorPoolStrategy(min_size=1)}
        done = (
            ray.data.from_arrow([*_tables(images)])
            .map_batches(Decoding, fn_constructor_args=[known, self._manifest.preprocessing], **pool, **a_decoder)
            .map_batches(Computing, fn_constructor_args=[known, self.space], **pool, **a_model)
        )
        try:
            # With a batch in advance none would come before there is another one.
            for batch in done.iter_batches(batch_size=None, prefetch_batches=0):
                for defect in {*batch["defect"]} - {""}:
                    logger.error("a defect: %s", defect)
                yield dict(_outcomes(batch))
        except Exception as error:
            raise _reason(error) from error


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, as long as it is used. One of our own ends with the block, and listens nowhere but on loopback.

    Raises:
        CatalogueUnusable: it isn't installed, can't be reached, or can't be started.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Its libraries call something an error that Ray Data does on purpose. What does go wrong comes as an exception.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address == LOCAL:
        # The name says less than it does: Ray then takes loopback for this machine's address, on Linux too.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # Without one Ray would keep a token in the home folder.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    else:
        # The name says seconds, but it is how often it tries, each time for 40 seconds; by itself it does so 20 times.
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
    try:
        import ray.data  # not before its variables are set: it reads some of them now
    except ImportError as error:
        raise CatalogueUnusable(
            f"--runner ray needs {error.name}, which is not installed here: poetry install --with ray"
        ) from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.raise_original_map_exception = True
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    with ExitStack() as held:
        if address == LOCAL:
            folder = held.enter_context(TemporaryDirectory(prefix="ray-", dir=SHORT_FOLDER))
            options |= {"num_cpus": cores(), "include_dashboard": False, "_temp_dir": folder}
        held.callback(ray.shutdown)
        try:
            with _silent():
                ray.init(address, **options)
        except Exception as error:
            tried = "started on this machine" if address == LOCAL else f"reached at RAY_ADDRESS={address}"
            raise CatalogueUnusable(f"Ray can't be {tried}: {error}") from error
        yield ray


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing of what libraries write past Python to standard error is seen."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _shares(ray: Any, *, on_gpu: bool) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """What a worker of each stage takes of its node, so that there is room for both kinds on the smallest cluster."""
    # A cluster that grows when it is asked for something may have no cores yet.
    largest = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes()) or CORES_OF_A_MODEL + 1
    a_core = 1 if largest > 1 else 0.5
    if on_gpu:
        if not any(node["Resources"].get("GPU") for node in ray.nodes()):
            logger.warning("no node of the cluster has a GPU now: waiting for one")
        return {"num_cpus": a_core}, {"num_cpus": a_core, "num_gpus": 1}
    return {"num_cpus": a_core}, {"num_cpus": min(CORES_OF_A_MODEL, largest - a_core)}


def _tables(images: Mapping[str, Path]) -> Iterator[Any]:
    """Batches of images as Ray Data keeps them."""
    import pyarrow as pa  # Ray brings it along

    waiting = iter(images.items())
    while batch := dict(islice(waiting, BATCH)):
        yield pa.table({"sha256": [*batch], "path": [*map(str, batch.values())]})


def _outcomes(batch: Columns) -> Iterator[tuple[str, Picture | Unusable]]:
    names = ("sha256", "code", "detail", "vector", "width", "height")
    for digest, code, detail, vector, width, height in zip(*(batch[name] for name in names), strict=True):
        yield digest, Unusable(code, detail) if code else Picture(vector, int(width), int(height))


def _reason(error: Exception) -> StartError:
    """What ended it, for a person: what a worker said, or else that Ray did."""
    said = getattr(error, "cause", None)
    if isinstance(said, StartError):
        return ModelUnavailable(str(said).partition("\n")[0])  # to which Ray has added advice of its own
    logger.error("Ray gave up: %s", error)
    return CatalogueUnusable("Ray gave up; nothing that was done is lost, and the same command goes on from there")
