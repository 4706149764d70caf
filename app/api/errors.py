"""Failures as HTTP: one body, `{"detail", "code"}`, for all of them."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from app.api.openai_schemas import OpenAIError, OpenAIErrorType, OpenAIProblem
from app.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    ServiceError,
    TooLarge,
    Unauthorized,
    UndecodableBody,
)
from app.telemetry import tracebacks

logger = logging.getLogger(__name__)

# Where a wrong body is called 400: callers of these routes know it so.
OPENAI = "/v1/"
LISTS = "/embed/"

# What a person is told about a field, by pydantic's name for the fault.
FAULTS = {
    "missing": "{field} is missing.",
    "extra_forbidden": "{field} is not a field of this route.",
    "string_type": "{field} must be a string.",
    "list_type": "{field} must be a list.",
    "too_short": "{field} is empty.",
    "blank": "{field} is blank.",
    "input": "{field} must be a text that isn't blank, the model's own token ids, an image, or a list of these.",
    "dict_type": "{field} must be an object.",
    "too_long": "{field} has more than {max_length} items.",
    "float_type": "{field} must be a finite number.",
    "finite_number": "{field} must be a finite number.",
    "whole_number": "{field} must be a whole number from {least} to {most}.",
    "number": "{field} must be a number from {least} to {most}.",
    "weight": "{field} must be a finite number other than 0.",
    "id": "{field} must be a string of at most {most} bytes that isn't blank and has no NUL.",
    "query": "{field} must be an object with exactly one of 'text', 'url', 'image', 'id' and 'embedding'.",
}


def answer(error: ServiceError, path: str) -> JSONResponse:
    """A failure as a response, in the form that callers of this path know."""
    status, headers = error.status, {}
    if isinstance(error, InvalidRequest) and path.startswith((LISTS, OPENAI)):
        status = 400
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if f"{path}/".startswith(OPENAI):
        kind: OpenAIErrorType = "server_error" if status >= 500 else "invalid_request_error"
        if isinstance(error, RateLimited):
            kind = "requests"
        named = OpenAIError(message=error.detail, type=kind, param=error.field, code=error.code)
        return JSONResponse(OpenAIProblem(error=named).model_dump(), status, headers)
    return JSONResponse({"detail": error.detail, "code": error.code}, status, headers)


def first_fault(error: RequestValidationError) -> InvalidRequest:
    """In a sentence, what is wrong first with something that isn't as its form says."""
    fault = error.errors()[0]
    field = _place(fault["loc"])
    text = FAULTS.get(fault["type"], "{field} is not valid.")
    invalid = InvalidRequest(text.format_map({**fault.get("ctx", {}), "field": f"'{field}'" if field else "The body"}))
    invalid.field = field
    return invalid


def _place(places: tuple[str | int, ...]) -> str | None:
    """Where in a body something is: a field, perhaps one within a list."""
    name = "".join(f"[{place}]" if isinstance(place, int) else f".{place}" for place in places).removeprefix(".")
    # Callers may name fields with what UTF-8 can't hold.
    return name.encode(errors="replace").decode() or None


def install(app: FastAPI) -> None:
    """Let every failure of an app's routes be answered in one form."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)


def _methods(request: Request) -> set[str]:
    """The methods that a path takes. Starlette tells those of the first of its routes."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    meant = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in meant for method in route.methods or ()}


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    request.scope["error_code"] = error.code
    if error.__cause__ is not None:
        logger.info("%s: %s", error.code, tracebacks.named(error.__cause__))
    return answer(error, request.url.path)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return await _service_error(request, first_fault(error))


async def _http_exception(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses."""
    assert isinstance(error, HTTPException)
    named: ServiceError
    if error.status_code == 404:
        named = NotFound("There is no such route.")
    elif error.status_code == 405:
        named = MethodNotAllowed("This route doesn't take this method.")
    elif error.status_code == 413:
        named = TooLarge("The body is too large.")
    else:
        named = UndecodableBody("The body could not be read.")
    response = await _service_error(request, named)
    response.headers.update(error.headers or {})
    if error.status_code == 405:
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response
