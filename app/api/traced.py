"""A span around each request, where traces are asked for."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from app.telemetry.tracing import Traces

CONTEXT = (b"traceparent", b"tracestate")


class Traced:
    """Around `RequestContext`, so that whatever that makes of a request is seen.

    Neither a path, a query nor a body is looked at: a span has the route.
    """

    def __init__(self, app: ASGIApp, traces: "Traces") -> None:
        self.app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        context = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in CONTEXT}
        trace = self._traces.begin(scope["method"], scope["scheme"], context)
        scope["trace_id"] = trace.trace_id
        status = 0
        request_id: str | None = None

        async def send_and_see(message: Message) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = dict(message["headers"])[b"x-request-id"].decode()
            await send(message)

        try:
            await self.app(scope, receive, send_and_see)
        finally:
            route = getattr(scope.get("route"), "path_format", None)
            trace.end(scope["method"], route, status, scope.get("error_code"), request_id)
