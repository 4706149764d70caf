"""What browsers are told: who may call from where, and that an answer is what it says it is."""

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "POST", "DELETE")
REQUEST_HEADERS = ("Authorization", "Content-Type", "X-Request-ID", "Priority", "traceparent")
ANSWER_HEADERS = ("X-Request-ID", "Retry-After", "Server-Timing")

NO_SNIFFING = (b"x-content-type-options", b"nosniff")


def allow_origins(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Let scripts of these origins call an app. They send tokens themselves, so no cookies come with it."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=REQUEST_HEADERS,
        expose_headers=ANSWER_HEADERS,
    )


class NoSniffing:
    """Keeps browsers from taking an answer for anything else than its content type says."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], NO_SNIFFING]
            await send(message)

        await self.app(scope, receive, send_with_header)
