"""Spans, with and without OpenTelemetry."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import define, field

import workbell
from workbell.adapters.observability import tracing
from workbell.domain.jobs.task import Task

pytestmark = pytest.mark.unit


@define
class Tracer:
    """A tracer that records spans."""

    spans: list[tuple[str, dict[str, Any]]] = field(factory=list[tuple[str, dict[str, Any]]])

    @contextmanager
    def start_as_current_span(self, name: str, attributes: dict[str, Any]) -> Iterator[None]:
        self.spans.append((name, attributes))
        yield


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracer]:
    """Install a fake OpenTelemetry and return its tracer."""
    tracer, module = Tracer(), ModuleType("opentelemetry.trace")
    module.__dict__["get_tracer"] = lambda _: tracer
    monkeypatch.setitem(sys.modules, "opentelemetry", ModuleType("opentelemetry"))
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", module)
    tracing._tracer.cache_clear()
    yield tracer
    tracing._tracer.cache_clear()


def run(folder: Path) -> None:
    """Run one job."""
    task = Task(key="tell", body=lambda *_: None)
    with workbell.open(f"sqlite:///{folder / 'w.db'}", data_dir=folder, tasks=[task]) as client:
        client.jobs.enqueue("tell")
        client.run_until_idle()


def test_an_attempt_and_its_transactions_are_spans(tmp_path: Path, tracer: Tracer) -> None:
    run(tmp_path)
    attributes = {"workbell.job": 1, "workbell.attempt": 1, "workbell.task": "tell"}
    assert ("run tell", attributes) in tracer.spans
    assert ("transaction", {}) in tracer.spans


def test_without_opentelemetry_no_span_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    tracing._tracer.cache_clear()
    run(tmp_path)
    with tracing.span("nothing", job=1) as tracer:
        assert tracer is None
    tracing._tracer.cache_clear()
