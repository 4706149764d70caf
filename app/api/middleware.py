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
from app.api.shedding import QUERIES
from app.errors import HungUp, Internal, NotReady, ServiceError
from app.telemetry import metrics, timings

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
        account = timings.begin()
        started = perf_counter()
        status = bytes_in = bytes_out = 0
        hung_up = False

        async def receive_and_count() -> Message:
            nonlocal bytes_in, hung_up
            message = await receive()
            if message["type"] == "http.request":
                bytes_in += len(message.get("body", b""))
            elif not status:
                hung_up = True
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status, bytes_out
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id.encode())]
                if account.stages:
                    timing = ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in account.stages.items())
                    headers.append((b"server-timing", timing.encode()))
                message["headers"] = headers
            else:
                bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive_and_count, send_with_headers)
        except (Exception, asyncio.CancelledError) as error:
            failure = _failure(error)
            scope["error_code"] = failure.code
            if status:
                raise  # half an answer is out; the server closes the connection
            await answer(failure, scope["path"])(scope, receive, send_with_headers)
        finally:
            seconds = perf_counter() - started
            route = _route(scope)
            status, code = _outcome(scope.get("error_code"), status, hung_up=hung_up)
            metrics.answered(route, status, code, seconds)
            logger.info(
                "request",
                request_id=request_id,
                method=scope["method"],
                route=route,
                status=status,
                code=code,
                ms=round(seconds * 1000, 1),
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                lane=account.lane,
                **{f"{stage}_ms": round(ms, 1) for stage, ms in account.stages.items()},
                **{f"cache_{outcome}": count for outcome, count in account.lookups.items()},
                **({"trace_id": scope["trace_id"]} if "trace_id" in scope else {}),
            )


def _failure(error: BaseException) -> ServiceError:
    """What is answered where nobody has caught an error."""
    if isinstance(error, asyncio.CancelledError):  # the service stops, and has waited long enough for this request
        return NotReady("The service has stopped; another may take this request.")
    logging.getLogger(__name__).exception("a defect")
    return Internal()


def _request_id(scope: Scope) -> str:
    """The caller's own, if it can do no harm, or a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and ACCEPTED_ID.fullmatch(value):
            return bytes(value).decode()
    return secrets.token_hex(ID_BYTES)


def _outcome(code: str | None, status: int, *, hung_up: bool) -> tuple[int, str | None]:
    """The status and code that say what came of a request; `status` is what was answered, or 0."""
    if hung_up and code != Internal.code:
        return HungUp.status, HungUp.code  # whatever was answered, nobody has heard it
    if not status:
        return Internal.status, Internal.code  # cut off by a server that can wait no longer, which then says so
    return status, code


def _route(scope: Scope) -> str | None:
    """The route that a request came to, as the API's description calls it; nothing of what the caller made up."""
    route = scope.get("route")
    if route is not None:
        path: str = route.path_format
        return path
    return QUERIES if scope["path"] == QUERIES else None  # refused before its route was looked for
