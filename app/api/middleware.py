"""What happens around every request: an id, a line in the log, timings, and an answer whatever goes wrong."""

import asyncio
import logging
import re
import secrets
from time import perf_counter

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from app.api.errors import answer
from app.errors import Internal, NotReady
from app.telemetry import timings

logger: structlog.typing.FilteringBoundLogger = structlog.get_logger("app.requests")

ACCEPTED_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
ID_BYTES = 16


class RequestContext:
    """Outermost: gives the request an id, times it, and turns what nobody caught into a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        bind_contextvars(request_id=request_id)  # for this request's task alone
        stages = timings.begin()
        started = perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id.encode())]
                if stages:
                    timing = ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in stages.items())
                    headers.append((b"server-timing", timing.encode()))
                message["headers"] = headers
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # the service has waited long enough for this request, and stops
            if status:
                raise
            scope["error_code"] = NotReady.code
            failure = answer(NotReady("The service has stopped; another may take this request."), scope["path"])
            await failure(scope, receive, send_with_headers)
        except Exception:
            logging.getLogger(__name__).exception("a defect")
            scope["error_code"] = Internal.code
            if status:
                raise  # half an answer is out; the server closes the connection
            failure = answer(Internal(), scope["path"])
            await failure(scope, receive, send_with_headers)
        finally:
            logger.info(
                "request",
                request_id=request_id,
                method=scope["method"],
                route=getattr(scope.get("route"), "path", None),
                status=status,
                code=scope.get("error_code"),
                ms=round((perf_counter() - started) * 1000, 1),
                **{f"{stage}_ms": round(ms, 1) for stage, ms in stages.items()},
            )


def _request_id(scope: Scope) -> str:
    """The caller's own, if it can do no harm, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and ACCEPTED_ID.fullmatch(value):
            return bytes(value).decode()
    return secrets.token_hex(ID_BYTES)
