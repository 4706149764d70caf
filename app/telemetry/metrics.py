"""What is counted and measured for Prometheus, over all workers of a service.

Every metric has a label, so that no value exists before it is first counted; where values are kept is looked up then.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
    values,
)

from app.errors import Internal, ServiceError
from app.telemetry.buckets import BATCH_ITEMS, DECODE_S, FETCH_S, INFER_S, QUEUE_S, REQUEST_S, SEARCH_S

# What went well has no error's code.
OK = "ok"
# What may come of a search that went well.
FOUND, EMPTY = "found", "empty"
# What may become of an item of an index.
INGESTED, DELETED, FAILED = "ingested", "deleted", "failed"
# Given up, because nobody waits for it any more or a request's time is over.
CANCELLED = "cancelled"
# Requests for what is no route of the API: paths that callers make up are endless.
NO_ROUTE = "other"

# The library says no types of these.
_collect_files: Callable[[CollectorRegistry, str], object] = multiprocess.MultiProcessCollector
_forget_live: Callable[[int, str], None] = multiprocess.mark_process_dead
_in_files: Callable[[Callable[[], int]], Any] = values.MultiProcessValue
_without_creation_times: Callable[[], None] = disable_created_metrics

_without_creation_times()  # they say nothing of a service whose workers come and go
REGISTRY = CollectorRegistry()

_requests = Counter(
    "embeddings_requests_total",
    "Requests that were answered or given up; code is the error's, empty if there was none",
    ("route", "status", "code"),
    registry=REGISTRY,
)
_request_seconds = Histogram(
    "embeddings_request_seconds",
    "Time from a request's headers to the end of its answer",
    ("route",),
    registry=REGISTRY,
    buckets=REQUEST_S,
)
_fetch_seconds = Histogram(
    "embeddings_fetch_seconds",
    "Time to fetch an image, with redirects and further tries",
    ("outcome",),
    registry=REGISTRY,
    buckets=FETCH_S,
)
_decode_seconds = Histogram(
    "embeddings_decode_seconds",
    "Time that a decoder's process took for an image",
    ("outcome",),
    registry=REGISTRY,
    buckets=DECODE_S,
)
_queue_seconds = Histogram(
    "embeddings_queue_seconds",
    "Time that an item waited for its turn",
    ("queue",),
    registry=REGISTRY,
    buckets=QUEUE_S,
)
_infer_seconds = Histogram(
    "embeddings_infer_seconds",
    "Time that a batch was computed for",
    ("queue",),
    registry=REGISTRY,
    buckets=INFER_S,
)
_batch_items = Histogram(
    "embeddings_batch_items", "Items that a batch was made of", ("queue",), registry=REGISTRY, buckets=BATCH_ITEMS
)
_waiting_items = Gauge(
    "embeddings_waiting_items",
    "Items that wait for their turn now",
    ("queue",),
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
_cache_lookups = Counter(
    "embeddings_cache_lookups_total",
    "Vectors that were asked for: remembered (hit), being computed for somebody else (joined), or computed (miss)",
    ("kind", "outcome"),
    registry=REGISTRY,
)
_decoder_kills = Counter(
    "embeddings_decoder_kills_total",
    "Decoders that ended before their image was done, and were replaced",
    ("reason",),
    registry=REGISTRY,
)
_search_seconds = Histogram(
    "embeddings_search_seconds",
    "Time that an index took for a search, waiting for a turn included",
    ("store", "outcome"),
    registry=REGISTRY,
    buckets=SEARCH_S,
)
_index_items = Counter(
    "embeddings_index_items_total",
    "Items that callers put into the index (ingested), took out of it (deleted), or could not put in (failed)",
    ("store", "outcome"),
    registry=REGISTRY,
)
_model_info = Gauge(
    "embeddings_model_info",
    "1 for the model that is served",
    ("model", "pretrained", "space", "engine", "precision", "device"),
    registry=REGISTRY,
    multiprocess_mode="livemax",  # several workers serve one model
)
# A worker alone counts for its place, so that these sums are of one number each.
_worker_ready = Gauge(
    "embeddings_worker_ready",
    "1 while a worker can embed, 0 while it can't",
    ("worker",),
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
_worker_memory = Gauge(
    "embeddings_worker_memory_bytes",
    "Memory that a worker holds",
    ("worker",),
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
_worker_starts = Counter(
    "embeddings_worker_starts_total", "Times that a worker began to run", ("worker",), registry=REGISTRY
)

_folder: Path | None = None
_place = 0


@dataclass
class Outcome:
    """What came of something, in a word."""

    word: str = OK


def share(folder: Path, place: int) -> None:
    """Keep values from now on where those of all workers are added up: called once in each, before it counts anything.

    Args:
        folder: new for each start of the service, and the same for all of its workers.
        place: the worker's own among those that run. Counters go on where the last one in this place has left off.
    """
    global _folder, _place
    _folder, _place = folder, place
    forget(folder, place)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # where the library looks for it
    values.ValueClass = _in_files(lambda: place)


def forget(folder: Path, place: int) -> None:
    """Take out of the sums what holds only while a worker runs, as the one in this place has ended."""
    _forget_live(place, str(folder))


def page() -> bytes:
    """Everything as Prometheus reads it: of all workers that share their values, or of this process alone."""
    if _folder is None:
        return generate_latest(REGISTRY)
    of_all = CollectorRegistry()
    _collect_files(of_all, str(_folder))
    return generate_latest(of_all)


def answered(route: str | None, status: int, code: str | None, seconds: float) -> None:
    """A request is over."""
    route = route or NO_ROUTE
    _counter(_requests, route, str(status), code or "").inc()
    _histogram(_request_seconds, route).observe(seconds)


def fetching() -> AbstractContextManager[Outcome]:
    """What is done inside is one fetch."""
    return _timed(_fetch_seconds)


def decoding() -> AbstractContextManager[Outcome]:
    """What is done inside is the decoding of one image."""
    return _timed(_decode_seconds)


def searching(store: str) -> AbstractContextManager[Outcome]:
    """What is done inside is one search of an index of this kind; say whether something was found."""
    return _timed(_search_seconds, store)


def waiting(queue: str, items: int) -> None:
    """So many items wait in a queue now."""
    _gauge(_waiting_items, queue).set(items)


def waited(queue: str, seconds: float) -> None:
    """An item's turn has come."""
    _histogram(_queue_seconds, queue).observe(seconds)


def computed(queue: str, items: int, seconds: float) -> None:
    """A batch is done."""
    _histogram(_infer_seconds, queue).observe(seconds)
    _histogram(_batch_items, queue).observe(items)


def looked_up(kind: str, outcome: str) -> None:
    """A vector was asked for."""
    _counter(_cache_lookups, kind, outcome).inc()


def index_changed(store: str, outcome: str, items: int) -> None:
    """This has become of so many items of an index."""
    if items:
        _counter(_index_items, store, outcome).inc(items)


def decoder_killed(reason: str) -> None:
    """A decoder was ended, or has ended, before its image was done."""
    _counter(_decoder_kills, reason).inc()


def served(*, model: str, pretrained: str, space: str, engine: str, precision: str, device: str) -> None:
    """This is the model that is served."""
    _gauge(_model_info, model, pretrained, space, engine, precision, device).set(1)


def worker_started(place: int) -> None:
    """A worker has begun to run."""
    _counter(_worker_starts, str(place)).inc()


def worker_ready(ready: bool) -> None:
    """Whether this worker can embed."""
    _gauge(_worker_ready, str(_place)).set(ready)


def worker_memory(count: int) -> None:
    """How many bytes this worker holds."""
    _gauge(_worker_memory, str(_place)).set(count)


# The library looks a child up behind a lock, each time; these take a tenth of the time.
@cache
def _counter(metric: Counter, *labels: str) -> Counter:
    return metric.labels(*labels)


@cache
def _histogram(metric: Histogram, *labels: str) -> Histogram:
    return metric.labels(*labels)


@cache
def _gauge(metric: Gauge, *labels: str) -> Gauge:
    return metric.labels(*labels)


@contextmanager
def _timed(histogram: Histogram, *labels: str) -> Iterator[Outcome]:
    """Time what is done inside, under these labels and what came of it: what is said, or why it failed."""
    begun = perf_counter()
    outcome = Outcome()
    try:
        yield outcome
    except ServiceError as error:
        outcome.word = error.code
        raise
    except asyncio.CancelledError:
        outcome.word = CANCELLED
        raise
    except Exception:
        outcome.word = Internal.code
        raise
    finally:
        _histogram(histogram, *labels, outcome.word).observe(perf_counter() - begun)
