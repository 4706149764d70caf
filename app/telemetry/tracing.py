"""Traces by OpenTelemetry: a span for each request, and one for each of its stages, on their way to a collector.

Imported only where OpenTelemetry's variables ask for traces (`config.traces_are_asked_for`); the SDK reads the rest of
them itself. A collector that is slow or down costs spans, and nothing else.
"""

import logging
import threading
import time
from contextvars import ContextVar

from anyio.to_thread import run_sync
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.telemetry import timings

logger = logging.getLogger(__name__)

# Of one request; a list of images has several for each of them.
MOST_STAGES = 32
# How long a worker that stops waits for what is still to be sent.
FLUSH_S = 1.5
# A collector that is down is spoken of once in so many seconds.
COMPLAINT_EVERY_S = 60.0
KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY")
CONTEXT = TraceContextTextMapPropagator()

_current: ContextVar["Trace | None"] = ContextVar("trace", default=None)


class Trace:
    """One request's part in a trace: its span, and the stages below it."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._stages = 0
        self._cache_hits = 0

    @property
    def trace_id(self) -> str:
        """What finds it at the collector."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """By which whoever is called for this request can continue its trace."""
        carrier: dict[str, str] = {}
        CONTEXT.inject(carrier, set_span_in_context(self._span))
        return carrier["traceparent"]

    def stage(self, name: str, seconds: float, ago_s: float) -> None:
        """A stage of the request ended so many seconds ago."""
        if name == "cache":
            self._cache_hits += 1
            return
        self._stages += 1
        if self._stages > MOST_STAGES:
            return
        ended = time.time_ns() - int(ago_s * 1e9)
        parent = set_span_in_context(self._span)
        self._tracer.start_span(name, parent, start_time=ended - int(seconds * 1e9)).end(ended)

    def end(self, method: str, route: str | None, status: int, code: str | None, request_id: str | None) -> None:
        """The request was answered, or was cut off (status 0)."""
        span = self._span
        span.update_name(f"{_span_method(method)} {route}" if route else _span_method(method))
        told = {
            "http.route": route,
            "http.response.status_code": status or None,
            "error.type": code,
            "embeddings.request_id": request_id,
            "embeddings.cache_hits": self._cache_hits or None,
            "embeddings.stages_left_out": max(0, self._stages - MOST_STAGES) or None,
        }
        span.set_attributes({name: value for name, value in told.items() if value is not None})
        if not 0 < status < 500:
            span.set_status(StatusCode.ERROR)
        span.end()


class Traces:
    """The traces of one worker. Nothing runs before `start`: threads don't survive a fork."""

    def start(self) -> None:
        """Begin to send spans in the background, in batches and within bounds."""
        self._complaints = _Complaints()
        self._complaints.listen()
        named = {SERVICE_NAME: "tate-embeddings", SERVICE_VERSION: __version__}
        resource = Resource.create({**named, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("tate-embeddings", __version__)

    async def stop(self) -> None:
        """Send what is left, for as long as `FLUSH_S`."""
        # The SDK would wait for half a minute for a collector that is silent.
        flushing = threading.Thread(target=self._provider.shutdown, daemon=True)
        flushing.start()
        await run_sync(flushing.join, FLUSH_S)
        self._complaints.close()

    def begin(self, method: str, scheme: str, context: dict[str, str]) -> Trace:
        """Trace the current request, below the `traceparent` and `tracestate` of its caller."""
        span = self._tracer.start_span(
            _span_method(method),
            CONTEXT.extract(context),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method if method in KNOWN_METHODS else "_OTHER", "url.scheme": scheme},
        )
        trace = Trace(self._tracer, span)
        _current.set(trace)
        if span.is_recording():
            timings.watch(trace.stage)
        return trace

    def passed_on(self) -> dict[str, str]:
        """The headers that let whoever is called continue the current request's trace."""
        trace = _current.get()
        return {"traceparent": trace.traceparent} if trace else {}


def _span_method(method: str) -> str:
    return method if method in KNOWN_METHODS else "HTTP"


class _Complaints(logging.Handler):
    """Says what OpenTelemetry has to complain of in a line of ours, and not each time it does."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._theirs = logging.getLogger("opentelemetry")
        self._next = 0.0

    def listen(self) -> None:
        self._theirs.propagate = False
        self._theirs.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + COMPLAINT_EVERY_S
            logger.warning("traces may be lost: %s", record.getMessage())

    def close(self) -> None:
        self._theirs.removeHandler(self)
        self._theirs.propagate = True
        super().close()
