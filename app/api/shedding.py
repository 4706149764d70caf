"""Refuses queries while too many wait, before anything is spent on them: what is refused must cost least."""

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import answer
from app.auth import authorization
from app.errors import Overloaded

# The route that a search box calls, at whatever rate people type.
QUERIES = "/embed-text"


class Shedding:
    """Answers a query that would be refused anyway. Who has no token learns nothing of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == QUERIES and scope["method"] == "POST":
            state = scope["app"].state
            try:
                state.services.embedder.check_room()
            except Overloaded as error:
                if state.tokens["work"].recognise(authorization(scope)):
                    scope["error_code"] = error.code
                    await answer(error, QUERIES)(scope, receive, send)
                    return
        await self.app(scope, receive, send)
