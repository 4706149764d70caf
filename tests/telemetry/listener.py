"""A server of the tests that remembers what it is sent: a collector of traces, and a host of an image."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.test_endpoints import as_png, painting

TRACES = "/v1/traces"
PATIENCE_S = 30
POLL_S = 0.05


@dataclass(frozen=True)
class Request:
    """What the listener was asked."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Listener:
    """Where it listens, and what it has heard."""

    url: str
    heard: list[Request] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def hear(self, request: Request) -> None:
        with self.news:
            self.heard.append(request)
            self.news.notify_all()

    def spans(self, trace_id: str) -> list[Span]:
        """A trace's spans that have arrived, that of its request first, once that has: it is sent last."""
        with self.news:
            assert self.news.wait_for(lambda: any(map(is_of_request, self._arrived(trace_id))), PATIENCE_S)
        return sorted(self._arrived(trace_id), key=is_of_request, reverse=True)

    def resource(self) -> dict[str, Any]:
        """What the spans say of the service that they come from."""
        return attributes(self._exports()[0].resource_spans[0].resource.attributes)

    def _arrived(self, trace_id: str) -> list[Span]:
        scopes = [scope for export in self._exports() for each in export.resource_spans for scope in each.scope_spans]
        return [span for scope in scopes for span in scope.spans if span.trace_id.hex() == trace_id]

    def _exports(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(each.body) for each in self.heard if each.path == TRACES]


def is_of_request(span: Span) -> bool:
    """Whether a span is that of a whole request."""
    return span.kind == Span.SPAN_KIND_SERVER


def attributes(pairs: Any) -> dict[str, Any]:
    """The attributes of a span or of a resource."""

    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "")

    return {pair.key: value(pair) for pair in pairs}


@contextmanager
def listening() -> Iterator[Listener]:
    """Listen on loopback: to spans, and to fetchers, who get a picture, or at `/broken` what isn't HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._hear(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            self._hear(b"")
            if self.path == "/broken":
                self.wfile.write(b"this is no HTTP\r\n\r\n")
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *_: Any) -> None:
            pass

        def _hear(self, body: bytes) -> None:
            listener.hear(Request(self.path, {name.lower(): text for name, text in self.headers.items()}, body))

    picture = as_png(painting())
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener = Listener(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_S})
        thread.start()
        yield listener
        server.shutdown()
        thread.join()
