"""What routes of the page have in common: where they are found, and how metrics and the log know them."""

from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from app.api.pages import GALLERY
from app.errors import ItemNotFound
from app.search.store import is_id

Endpoint = Callable[[Request], Awaitable[Response]]


class PageRoute(Route):
    """A route below the page's path, known by that path as those of the API are, and in no description of it."""

    def __init__(self, path: str, endpoint: Endpoint, *methods: str) -> None:
        super().__init__(GALLERY + path, endpoint, methods=methods, include_in_schema=False)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope


def root_of(request: Request) -> str:
    """Where the page is for who asks, perhaps through a proxy that puts us below a path of its own."""
    return str(request.scope.get("root_path", "")).rstrip("/") + GALLERY


def id_in(request: Request) -> str:
    """The id of the item that an address names."""
    item = request.query_params.get("id", "")
    check_id(item)
    return item


def check_id(item: str) -> None:
    """See whether an item can have this id.

    Raises:
        ItemNotFound: none can.
    """
    if not is_id(item):
        raise ItemNotFound("There is no such item.")
