"""`/metrics`: who gets it, and what a request leaves in it."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED, MakeSettings, Serving
from tests.test_status import state


def counted(client: TestClient, name: str, **labels: str) -> float:
    """What a metric has come to, by its page."""
    page = client.get("/metrics", headers=AUTHORIZED).text
    found = [
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return sum(found)


def test_metrics_are_in_the_form_that_prometheus_reads(client: TestClient) -> None:
    client.get("/live")

    answer = client.get("/metrics", headers=AUTHORIZED)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'embeddings_requests_total{code="",route="/live",status="200"}' in answer.text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer not-the-token"}])
def test_nobody_without_a_token_gets_metrics(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get("/metrics", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_request_counts_under_its_route_status_and_code(client: TestClient) -> None:
    labels = {"route": "/embed-text", "status": "422", "code": "invalid_request"}
    before = counted(client, "embeddings_requests_total", **labels)
    seconds = counted(client, "embeddings_request_seconds_count", route="/embed-text")

    client.post("/embed-text", json={"query": " "}, headers=AUTHORIZED)

    assert counted(client, "embeddings_requests_total", **labels) == before + 1
    assert counted(client, "embeddings_request_seconds_count", route="/embed-text") == seconds + 1


def test_paths_that_callers_make_up_are_one_route(client: TestClient) -> None:
    labels = {"route": "other", "status": "404", "code": "not_found"}
    before = counted(client, "embeddings_requests_total", **labels)

    for number in range(3):
        client.get(f"/made-up/{number}")

    assert counted(client, "embeddings_requests_total", **labels) == before + 3


def test_a_text_is_a_miss_and_then_a_hit(client: TestClient) -> None:
    def lookups() -> list[float]:
        return [
            counted(client, "embeddings_cache_lookups_total", kind="text", outcome=outcome)
            for outcome in ("miss", "hit")
        ]

    before = lookups()
    client.post("/embed-text", json={"query": "asked for twice"}, headers=AUTHORIZED)
    missed = lookups()
    client.post("/embed-text", json={"query": "asked for twice"}, headers=AUTHORIZED)
    hit = lookups()

    assert missed == [before[0] + 1, before[1]]
    assert hit == [before[0] + 1, before[1] + 1]


def test_a_text_that_is_computed_has_waited_in_the_queue_of_texts(client: TestClient) -> None:
    before = [counted(client, f"embeddings_{name}_count", queue="texts") for name in ("queue_seconds", "batch_items")]

    client.post("/embed-text", json={"query": "never asked for before"}, headers=AUTHORIZED)

    after = [counted(client, f"embeddings_{name}_count", queue="texts") for name in ("queue_seconds", "batch_items")]
    assert after == [count + 1 for count in before]


def test_a_query_that_is_refused_at_the_door_counts_under_its_route(
    serving: Serving, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(make_settings()) as client:
        labels = {"route": "/embed-text", "status": "503", "code": "overloaded"}
        before = counted(client, "embeddings_requests_total", **labels)
        monkeypatch.setattr(state(client).embedder._texts, "_most_waiting", -1)

        client.post("/embed-text", json={"query": "one too many"}, headers=AUTHORIZED)

        assert counted(client, "embeddings_requests_total", **labels) == before + 1
