"""Failures as HTTP: one body, `{"detail", "code"}`, for all of them."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.api.schemas import Problem
from app.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ServiceError,
    TooLarge,
    Unauthorized,
    UndecodableBody,
)

logger = logging.getLogger(__name__)

# What a person is told about a field, by pydantic's name for the fault.
FAULTS = {
    "missing": "{field} is missing.",
    "extra_forbidden": "{field} is not a field of this route.",
    "string_type": "{field} must be a string.",
    "json_invalid": "The body is not valid JSON.",
    "model_attributes_type": "The body must be a JSON object.",
    "model_type": "The body must be a JSON object.",
    "dict_type": "The body must be a JSON object.",
}
EXAMPLES = {
    401: ("No valid token.", "unauthorized", "A valid bearer token is needed: send 'Authorization: Bearer <token>'."),
    413: ("The body, the text or the image is over its limit.", "too_large", "The text has more than 1 MiB."),
    415: (
        "The body's content type is not taken here.",
        "unsupported_media_type",
        "Send the body as 'Content-Type: application/json'.",
    ),
    422: ("The body is wrong, or the image can't be used.", "invalid_request", "The text is blank."),
    500: ("A defect of the service; its log has the reason.", "internal", "Something went wrong on our side."),
    502: ("The image's host failed.", "image_host_failed", "The image's host could not be reached."),
    503: ("Overloaded, loading or stopping; see Retry-After.", "not_ready", "The service is loading; try again soon."),
    504: ("The image's host or the service ran out of time.", "image_host_timeout", "The image's host took too long."),
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route's failures."""
    return {
        status: {
            "model": Problem,
            "description": EXAMPLES[status][0],
            "content": {"application/json": {"example": {"detail": EXAMPLES[status][2], "code": EXAMPLES[status][1]}}},
        }
        for status in statuses
    }


def answer(error: ServiceError) -> JSONResponse:
    """A failure as a response."""
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return JSONResponse({"detail": error.detail, "code": error.code}, error.status, headers)


def install(app: FastAPI) -> None:
    """Let every failure of an app's routes be answered in one form."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    request.scope["error_code"] = error.code
    if error.__cause__ is not None:
        logger.info("%s: %s: %s", error.code, type(error.__cause__).__name__, error.__cause__)
    return answer(error)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    field = "The body" if len(fault["loc"]) < 2 else f"'{fault['loc'][1]}'"
    text = FAULTS.get(fault["type"], "{field} is not valid.").format(field=field)
    # What a caller named a field may hold what UTF-8 can't.
    return await _service_error(request, InvalidRequest(text.encode(errors="replace").decode()))


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
    return response
