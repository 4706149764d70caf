"""What happens around every request: an id, a line in the log, timings, and an answer whatever goes wrong."""

import logging
import re
import uuid
from time import perf_counter

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import answer
from app.errors import Internal
from app.telemetry import timings

logger: structlog.stdlib.BoundLogger = structlog.get_logger("app.requests")

ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestContext:
    """Outermost: gives the request an id, times it, and turns what nobody caught into a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
        stages = timings.begin()
        started = perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                if stages:
                    headers["Server-Timing"] = ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in stages.items())
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_headers)
            except Exception:
                logging.getLogger(__name__).exception("a defect")
                scope["error_code"] = Internal.code
                if status:
                    raise  # half an answer is out; the server closes the connection
                failure = answer(Internal(), scope["path"])
                await failure(scope, receive, send_with_headers)
            finally:
                route = getattr(scope.get("route"), "path", None)
                logger.info(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    code=scope.get("error_code"),
                    ms=round((perf_counter() - started) * 1000, 1),
                    **{f"{stage}_ms": round(ms, 1) for stage, ms in stages.items()},
                )
