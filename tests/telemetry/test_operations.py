"""What operators are given: a dashboard, alerts and a page about them, all of it about what the service really says."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from app.telemetry import metrics
from prometheus_client import Counter, Gauge, Histogram
from starlette.testclient import TestClient

from tests.conftest import AUTHORIZED
from tests.telemetry.conftest import RunPromtool
from tests.test_endpoints import as_png, painting

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text("utf-8"))
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
FAMILIES = {metric.name: metric for metric in metrics.REGISTRY.collect()}
SERIES = {family + suffix for family, metric in FAMILIES.items() for suffix in SUFFIXES[metric.type]}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    """The dashboard's, with what Grafana would put in the place of its variables."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*")


def named(expression: str) -> set[str]:
    return set(re.findall(r"\bembeddings_\w+", expression))


def test_the_dashboard_shows_every_metric_and_nothing_else() -> None:
    shown = set().union(*map(named, expressions()))

    assert shown <= SERIES
    assert {family for family in FAMILIES if not any(series.startswith(family) for series in shown)} == set()


def test_the_dashboard_can_be_imported_where_the_data_source_has_any_name() -> None:
    sources = [target["datasource"] for panel in panels() for target in panel["targets"]]
    sources += [panel["datasource"] for panel in panels()]
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}

    assert {source["uid"] for source in sources} == {"${datasource}"}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert "id" not in DASHBOARD
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] and panel["description"] for panel in panels())


def test_no_two_panels_lie_over_each_other() -> None:
    places = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24


def test_prometheus_understands_every_expression_of_the_dashboard(promtool: RunPromtool, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    assert f"{len(rules)} rules found" in promtool("check", "rules", tmp_path / "rules.yml")


def test_alerts_are_about_what_the_service_says() -> None:
    assert set().union(*(named(rule["expr"]) for rule in RULES)) <= SERIES


def test_alerts_fire_when_they_should(promtool: RunPromtool) -> None:
    promtool("check", "rules", ALERTS)
    promtool("test", "rules", ALERTS.with_name("alerts.test.yml"))


def test_every_alert_is_tested_to_fire_and_not_to() -> None:
    tests = yaml.safe_load(ALERTS.with_name("alerts.test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in RULES}

    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")

    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["for"]
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert (page, anchor) == ("docs/operations.md", rule["alert"].lower())


def test_the_page_has_one_heading_for_each_alert() -> None:
    assert re.findall(r"^### (\w+)$", PAGE, re.M) == [rule["alert"] for rule in RULES]


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_page_lists_every_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| `(embeddings_\w+)` \| ([^|]+) \|", section("Metrics"), re.M)
    described = {name.removesuffix("_total"): re.findall(r"`(\w+)`", labels) for name, labels in rows}

    counting = [value for value in vars(metrics).values() if isinstance(value, Counter | Gauge | Histogram)]
    assert described == {metric._name: [*metric._labelnames] for metric in counting}
    assert {*described} == {*FAMILIES}


def test_the_page_lists_what_is_in_the_line_of_a_request(searching: TestClient) -> None:
    names = re.findall(r"^\| (`.*?) \|", section("The log"), re.M)
    described = {name for row in names for name in re.findall(r"`(\w+)`", row)}

    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            searching.post("/search", json={"query": "of this page"}, headers=AUTHORIZED)
        searching.post("/embed-image", files={"file": as_png(painting(31, 41))}, headers=AUTHORIZED)

    written = set().union(*(line for line in lines if line["event"] == "request"))
    assert written - {"event", "log_level"} == described - {"fetch_ms", "cache_joined"}
