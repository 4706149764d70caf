"""Which token opens what."""

import logging
from typing import Any

import pytest
from app.api import errors
from app.auth import AdminRoute, AuthenticatedRoute, MetricsRoute, tokens_of
from app.config import Settings
from app.errors import SettingsError
from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient

WORK, ADMIN, METRICS = (f"a-long-enough-secret-for-{purpose}" for purpose in ("work", "admin", "metrics"))


def service(**tokens: Any) -> TestClient:
    """A service with a route for each kind of token."""
    app = FastAPI()
    for kind in (AuthenticatedRoute, AdminRoute, MetricsRoute):
        router = APIRouter(route_class=kind)
        router.get(f"/{kind.purpose}")(_nothing)
        app.router.routes += router.routes
    app.state.tokens = tokens_of(Settings.load(**tokens))
    errors.install(app)
    return TestClient(app)


async def _nothing() -> None:
    """A route that does nothing."""


def opened(client: TestClient, token: str) -> set[str]:
    """What a token opens."""
    paths = ("/work", "/admin", "/metrics")
    return {path for path in paths if client.get(path, headers={"Authorization": f"Bearer {token}"}).is_success}


def test_without_tokens_of_their_own_the_shared_one_opens_all_routes() -> None:
    client = service(auth_token=WORK)

    assert opened(client, WORK) == {"/work", "/admin", "/metrics"}
    assert opened(client, "another") == set()


def test_a_token_of_its_own_is_the_only_one_that_opens_a_route_and_opens_no_other() -> None:
    client = service(auth_token=WORK, admin_token=ADMIN, metrics_token=METRICS)

    assert opened(client, WORK) == {"/work"}
    assert opened(client, ADMIN) == {"/admin"}
    assert opened(client, METRICS) == {"/metrics"}


def test_each_of_several_tokens_opens_its_routes() -> None:
    client = service(auth_token=WORK, metrics_token=f"{METRICS}, {METRICS}-anew")

    assert opened(client, METRICS) == opened(client, f"{METRICS}-anew") == {"/metrics"}
    assert opened(client, WORK) == {"/work", "/admin"}


@pytest.mark.parametrize("path", ["/work", "/admin", "/metrics"])
def test_a_token_for_something_else_is_refused_like_none(path: str) -> None:
    client = service(auth_token=WORK, admin_token=ADMIN, metrics_token=METRICS)
    other = {"/work": ADMIN, "/admin": METRICS, "/metrics": WORK}[path]

    refusal = client.get(path, headers={"Authorization": f"Bearer {other}"})

    assert (refusal.status_code, refusal.json()) == (401, client.get(path).json())
    assert refusal.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["AUTH_TOKEN", "ADMIN_TOKEN", "METRICS_TOKEN"])
def test_a_short_token_is_warned_of_by_the_name_of_its_variable(caplog: pytest.LogCaptureFixture, name: str) -> None:
    with caplog.at_level(logging.WARNING):
        tokens_of(Settings.load(**{"auth_token": WORK, name.lower(): "short"}))

    (line,) = caplog.messages
    assert line.startswith(f"{name} is shorter than 16 characters")
    assert "'short'" not in line


def test_other_tokens_do_not_stand_in_for_the_shared_one() -> None:
    with pytest.raises(SettingsError, match="AUTH_TOKEN is missing"):
        tokens_of(Settings.load(admin_token=ADMIN, metrics_token=METRICS))
