"""Alerts of the operations guide name metrics, labels and values that exist."""

import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from falcon import testing
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.adapters.dramatiq.factories import claim, settlement
from workbell.adapters.http.app import build_app
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.attempt import Outcome
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.unit

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(
    r"^\| ([^|]+) \| `([^`|]*workbell_[^`|]*)` \| (\d+[mh]) \| [^|]+ \|$", re.MULTILINE
)
SELECTOR = re.compile(r"(workbell_\w+)(?:\{(\w+)=\"([^\"]*)\"\})?")
BY = re.compile(r"by \(([\w, ]+)\)")

ALERTS = {
    name: expression
    for name, expression, _ in ROW.findall((DOCS / "operations.md").read_text(encoding="utf-8"))
}
NOT_FOR_ALERTS = {
    "workbell_build_info",
    "workbell_cache_requests_total",
    "workbell_children",
    "workbell_jobs",
    "workbell_jobs_staged_total",
    "workbell_schedules_active",
    "workbell_schedules_ticked_total",
    "workbell_worker_claims",
}
"""Metrics of normal operation."""


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Metric]:
    """Return the metrics of a process that has run attempts of every outcome."""
    folder = tmp_path_factory.mktemp("alerts")
    settings = Settings(database_url="memory://", data_dir=folder, metrics_token="alerts")
    with closing(build(settings)) as application:
        application.migrate_and_register()
        application.jobs.create(SYSTEM, NewJob(task_definition="echo"))
        application.engine_metrics.record_claims([claim(1)])
        application.engine_metrics.record_attempts(
            [("echo", settlement(1, outcome=each)) for each in Outcome]
        )
        client = testing.TestClient(build_app(application.app_dependencies()))
        text = client.simulate_get("/metrics", headers={"Authorization": "Bearer alerts"}).text
    return {_full_name(each): each for each in text_string_to_metric_families(text)}


def _full_name(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def samples_of(metric: Metric, series: str) -> list[Mapping[str, str]]:
    """Return the labels of the samples of a series."""
    return [sample.labels for sample in metric.samples if sample.name == series]


def metric_of(series: str) -> str:
    """Return the metric of a series, which may be a part of a histogram."""
    return re.sub(r"_(bucket|sum|count)$", "", series)


def test_the_guide_has_alerts() -> None:
    assert len(ALERTS) >= 14


@pytest.mark.parametrize("name", ALERTS)
def test_every_metric_and_value_of_an_alert_exists(
    name: str, families: Mapping[str, Metric]
) -> None:
    for series, label, value in SELECTOR.findall(ALERTS[name]):
        assert metric_of(series) in families
        if label:
            found = samples_of(families[metric_of(series)], series)
            assert value in {labels.get(label) for labels in found}


@pytest.mark.parametrize("name", ALERTS)
def test_every_label_of_an_alert_exists(name: str, families: Mapping[str, Metric]) -> None:
    for listed in BY.findall(ALERTS[name]):
        for series, *_ in SELECTOR.findall(ALERTS[name]):
            for labels in samples_of(families[metric_of(series)], series):
                assert set(listed.split(", ")) <= set(labels)


@pytest.mark.parametrize("name", ALERTS)
def test_the_brackets_of_an_alert_match(name: str) -> None:
    expression = ALERTS[name]
    for start, end in ("()", "{}", "[]"):
        assert expression.count(start) == expression.count(end)


def test_every_metric_that_shows_a_problem_has_an_alert(families: Mapping[str, Metric]) -> None:
    used = {metric_of(series) for each in ALERTS.values() for series, *_ in SELECTOR.findall(each)}
    assert set(families) - used == NOT_FOR_ALERTS


def test_every_outcome_is_explained() -> None:
    page = (DOCS / "job-life.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## Failures and tracebacks\n")
    table = section.partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {
        str(each) for each in Outcome
    }
