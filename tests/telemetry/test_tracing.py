"""Traces: what a collector gets from a real service, and that a service does as well without one."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.callers.conftest import ROOT, running
from tests.conftest import AUTHORIZED, TOKEN, MakeSettings, Serving, unused_port
from tests.telemetry.listener import Listener, attributes, listening

CALLER = "1234567890abcdef"
MOST_STAGES = 32
FEW_SECONDS = 5  # an ordinary stop's, and two more
BRIEFLY_MS = "50"


@pytest.fixture(scope="module")
def collector() -> Iterator[Listener]:
    """Where the service of this module sends its spans, and fetches its images from."""
    with listening() as listener:
        yield listener


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where that service writes its log."""
    return tmp_path_factory.mktemp("traced")


@pytest.fixture(scope="module")
def service(collector: Listener, folder: Path) -> Iterator[httpx.Client]:
    """A service of real processes that sends traces."""
    with serve(folder, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as client:
        yield client


@contextmanager
def serve(folder: Path, **environment: str) -> Iterator[httpx.Client]:
    """A service on the bundled model, and a client of it."""
    usual = {"ALLOW_PRIVATE_NETWORKS": "true", "OTEL_BSP_SCHEDULE_DELAY": BRIEFLY_MS, "LOG_FORMAT": "json"}
    with (
        running(folder, **usual | environment) as instance,
        httpx.Client(base_url=instance.url, headers=AUTHORIZED, timeout=30) as client,
    ):
        yield client


def traced(trace_id: str, sampled: bool = True) -> dict[str, str]:
    """The headers of a caller who traces."""
    return {"traceparent": f"00-{trace_id}-{CALLER}-{int(sampled):02}", "tracestate": "vendor=value"}


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.slow
def test_a_request_is_a_span_below_its_caller_s_with_its_stages(service: httpx.Client, collector: Listener) -> None:
    trace_id = "a" * 32

    service.post("/embed-text?q=1", json={"query": "a stormy sea"}, headers=traced(trace_id) | {"X-Request-ID": "mine"})

    request, *stages = collector.spans(trace_id)
    assert request.name == "POST /embed-text"
    assert (request.parent_span_id.hex(), request.trace_state) == (CALLER, "vendor=value")
    assert attributes(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/embed-text",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "embeddings.request_id": "mine",
    }
    assert request.status.code == Status.STATUS_CODE_UNSET
    assert [stage.name for stage in stages] == ["queue", "infer"]
    queue, infer = stages
    assert all(stage.parent_span_id == request.span_id for stage in stages)
    moments = [queue.start_time_unix_nano, queue.end_time_unix_nano, infer.start_time_unix_nano]
    assert [*moments, infer.end_time_unix_nano] == sorted([*moments, infer.end_time_unix_nano])
    assert request.start_time_unix_nano <= moments[0]
    assert infer.end_time_unix_nano <= request.end_time_unix_nano


@pytest.mark.slow
def test_an_image_behind_a_url_has_the_stages_of_its_way(service: httpx.Client, collector: Listener) -> None:
    trace_id = "b" * 32

    service.post("/embed-image", json={"url": f"{collector.url}/b.png"}, headers=traced(trace_id))

    _, *stages = collector.spans(trace_id)
    assert [stage.name for stage in stages] == ["fetch", "queue", "decode", "queue", "infer"]


@pytest.mark.slow
def test_what_is_remembered_is_counted_and_not_computed(service: httpx.Client, collector: Listener) -> None:
    trace_id = "c" * 32
    service.post("/embed-text", json={"query": "asked twice"})

    service.post("/embed-text", json={"query": "asked twice"}, headers=traced(trace_id))

    (request,) = collector.spans(trace_id)
    assert attributes(request.attributes)["embeddings.cache_hits"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "status", "code", "outcome"),
    [
        ("ftp://127.0.0.1/", 422, "url_forbidden", Status.STATUS_CODE_UNSET),
        ("/broken", 502, "image_host_failed", Status.STATUS_CODE_ERROR),
    ],
)
def test_a_failure_has_its_code_and_is_an_error_only_if_it_is_not_the_caller_s(
    service: httpx.Client, collector: Listener, url: str, status: int, code: str, outcome: int
) -> None:
    trace_id = f"d{status}" * 8

    service.post("/embed-image", json={"url": url if ":" in url else collector.url + url}, headers=traced(trace_id))

    request, *_ = collector.spans(trace_id)
    told = attributes(request.attributes)
    assert (told["http.response.status_code"], told["error.type"]) == (status, code)
    assert request.status.code == outcome


@pytest.mark.slow
def test_neither_an_odd_method_nor_a_path_without_a_route_names_a_span(
    service: httpx.Client, collector: Listener
) -> None:
    trace_id = "e" * 32

    service.request("PURGE", "/a-path-of-no-route", headers=traced(trace_id))

    request, *_ = collector.spans(trace_id)
    assert request.name == "HTTP"
    assert attributes(request.attributes)["http.request.method"] == "_OTHER"


@pytest.mark.slow
def test_a_list_has_no_more_spans_than_can_be_looked_at(service: httpx.Client, collector: Listener) -> None:
    trace_id = "f" * 32
    texts = [f"text {number}" for number in range(MOST_STAGES)]  # each waits, and is computed

    service.post("/embed/text", json={"texts": texts}, headers=traced(trace_id))

    request, *stages = collector.spans(trace_id)
    assert len(stages) == MOST_STAGES
    assert attributes(request.attributes)["embeddings.stages_left_out"] == MOST_STAGES


@pytest.mark.slow
def test_no_text_token_query_string_or_url_is_in_any_span(service: httpx.Client, collector: Listener) -> None:
    trace_id = "ab" * 16
    service.post("/embed-text?canary=1", json={"query": "a canary"})
    service.post("/embed-image?canary=1", json={"url": f"{collector.url}/canary.png?canary=1"})
    service.post("/embed-text", json={"query": "x"}, headers={"Authorization": "Bearer canary", "X-Canary": "canary"})
    service.get("/canary")

    service.post("/embed-text", json={"query": "the last"}, headers=traced(trace_id))

    collector.spans(trace_id)
    exported = b"".join(request.body for request in collector.heard)
    assert b"embeddings.request_id" in exported
    assert b"canary" not in exported
    assert TOKEN.encode() not in exported


@pytest.mark.slow
def test_a_caller_s_decision_not_to_sample_is_kept(service: httpx.Client, collector: Listener) -> None:
    unsampled, sampled = "1" * 32, "2" * 32

    service.post("/embed-text", json={"query": "not sampled"}, headers=traced(unsampled, sampled=False))
    service.post("/embed-text", json={"query": "sampled"}, headers=traced(sampled))

    collector.spans(sampled)
    assert bytes.fromhex(unsampled) not in b"".join(request.body for request in collector.heard)


@pytest.mark.slow
def test_the_line_of_a_request_has_its_trace(service: httpx.Client, folder: Path) -> None:
    trace_id = "3" * 32

    service.post("/embed-text", json={"query": "logged"}, headers=traced(trace_id))
    service.get("/live")

    told = [line["trace_id"] for line in lines(folder / "log") if line["event"] == "request"]
    assert trace_id in told
    assert len(set(told)) == len(told)


@pytest.mark.slow
def test_image_hosts_are_not_told_of_a_trace(service: httpx.Client, collector: Listener) -> None:
    service.post("/embed-image", json={"url": f"{collector.url}/untold.png"}, headers=traced("4" * 32))

    (asked,) = [request for request in collector.heard if request.path == "/untold.png"]
    assert not {"traceparent", "tracestate", "baggage"} & set(asked.headers)


def test_image_hosts_are_told_of_a_trace_and_of_nothing_else_if_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, serving: Serving, make_settings: MakeSettings, collector: Listener
) -> None:
    trace_id = "5" * 32
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/v1/traces")
    with serving(make_settings(trace_image_hosts=True)) as client:
        client.post(
            "/embed-image",
            json={"url": f"{collector.url}/told.png"},
            headers=AUTHORIZED | traced(trace_id) | {"baggage": "canary=1"},
        )

    request, *_ = collector.spans(trace_id)
    (asked,) = [request for request in collector.heard if request.path == "/told.png"]
    assert asked.headers["traceparent"] == f"00-{trace_id}-{request.span_id.hex()}-01"
    assert not {"tracestate", "baggage"} & set(asked.headers)


@pytest.mark.parametrize(
    ("variables", "name"),
    [({}, "tate-embeddings"), ({"OTEL_SERVICE_NAME": "mine", "OTEL_RESOURCE_ATTRIBUTES": "a=b"}, "mine")],
)
def test_what_is_left_is_sent_at_the_end_under_the_service_s_name(
    monkeypatch: pytest.MonkeyPatch, serving: Serving, make_settings: MakeSettings, variables: dict[str, str], name: str
) -> None:
    trace_id = "6" * 32
    with listening() as collector:
        for variable, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **variables}.items():
            monkeypatch.setenv(variable, value)

        with serving(make_settings()) as client:
            client.get("/live", headers=traced(trace_id))

        assert any(span.name == "GET /live" for span in collector.spans(trace_id))
        assert collector.resource()["service.name"] == name
        assert collector.resource()["service.version"]


@pytest.mark.slow
def test_a_service_without_traces_loads_nothing_of_them_and_calls_nobody(tmp_path: Path) -> None:
    with listening() as collector:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SDK_DISABLED": "true"}
        with serve(tmp_path, **environment, PYTHONPROFILEIMPORTTIME="1") as client:
            answer = client.post("/embed-text", json={"query": "untraced"}, headers=traced("7" * 32))

    log = (tmp_path / "log").read_text()
    assert answer.status_code == 200
    assert " app.main\n" in log
    assert "opentelemetry.sdk" not in log
    assert '"trace_id"' not in log
    assert collector.heard == []


@pytest.mark.slow
@pytest.mark.parametrize("accepts", [False, True], ids=["refuses", "is silent"])
def test_a_collector_that_is_down_delays_neither_requests_nor_the_stop(tmp_path: Path, accepts: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if accepts else unused_port()
        with serve(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}") as client:
            answers = [client.post("/embed-text", json={"query": f"query {number}"}) for number in range(50)]
            stopping = time.monotonic()
        stopped_s = time.monotonic() - stopping

    assert {answer.status_code for answer in answers} == {200}
    assert max(answer.elapsed.total_seconds() for answer in answers) < 1
    assert stopped_s < FEW_SECONDS
    complaints = [line for line in lines(tmp_path / "log") if line["logger"] == "app.telemetry.tracing"]
    assert [line["level"] for line in complaints] == ["warning"] * (not accepts)
    assert not any("exception" in line for line in lines(tmp_path / "log"))


@pytest.mark.slow
def test_a_start_with_traces_and_nothing_to_send_them_ends_in_one_line(tmp_path: Path) -> None:
    command = "import sys; sys.modules['opentelemetry.sdk'] = None; import app.cli; sys.exit(app.cli.main(['serve']))"
    environment = {
        "PYTHONPATH": str(ROOT),
        "AUTH_TOKEN": TOKEN,
        "MODEL_NAME": "tiny-gallery",
        "OTEL_TRACES_EXPORTER": "otlp",
    }

    ended = subprocess.run(
        [sys.executable, "-c", command],
        env=os.environ | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("tate-embeddings: OpenTelemetry's variables ask for traces, but opentelemetry.sdk")
    assert "install opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http" in line
