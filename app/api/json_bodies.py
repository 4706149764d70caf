"""JSON bodies, read after the token is checked and while their bytes are counted."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.api.bodies import is_json
from app.errors import InvalidRequest, UnsupportedMediaType

Form = TypeVar("Form", bound=BaseModel)


async def read_json(request: Request, form: type[Form]) -> Form:
    """A body of one form.

    Raises:
        UnsupportedMediaType: it isn't called JSON.
        InvalidRequest: it isn't JSON.
        RequestValidationError: it isn't what its form says.
    """
    return validated(form, await _read(request))


async def read_one_of(request: Request, forms: Mapping[str, type[Form]]) -> Form:
    """A body of one of several forms, which are told apart by the field that each alone has.

    Raises:
        UnsupportedMediaType: it isn't called JSON.
        InvalidRequest: it isn't JSON, or is none or several of the forms.
        RequestValidationError: it isn't what its form says.
    """
    return one_of(forms, await _read(request))


def one_of(forms: Mapping[str, type[Form]], given: dict[str, Any]) -> Form:
    """An object of one of several forms, which are told apart by the field that each alone has.

    Raises:
        InvalidRequest: it is none or several of them.
        RequestValidationError: it isn't what its form says.
    """
    named = [name for name in forms if name in given]
    if len(named) != 1:
        *others, last = (f"'{name}'" for name in forms)
        raise InvalidRequest(f"Send exactly one of {', '.join(others)} and {last}.")
    return validated(forms[named[0]], given)


def validated(form: type[Form], given: dict[str, Any]) -> Form:
    """An object of one form.

    Raises:
        RequestValidationError: it isn't what its form says.
    """
    try:
        return form.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise RequestValidationError(faults) from None


def from_text(text: str) -> Any:
    """The number or object that a text says; what says neither is to be judged as the text that it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def json_body(form: type[BaseModel]) -> Any:
    """A route's parameter that is its JSON body. FastAPI's own way would read it before the token is checked."""

    async def read(request: Request) -> BaseModel:
        return await read_json(request, form)

    return Depends(read)


async def _read(request: Request) -> dict[str, Any]:
    if not is_json(request):
        raise UnsupportedMediaType("Send the body as 'Content-Type: application/json'.")
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return body
