"""Health, readiness and metrics of the API, and its request log."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from tests.adapters.http.conftest import ApiFixture
from workbell.adapters.http.app import build_app
from workbell.adapters.http.web.middleware import HttpSettings
from workbell.domain.errors import Throttled, Unavailable
from workbell.ports.jobs.queues import WorkerInfo


def test_health_and_readiness_need_no_sign_in(empty: ApiFixture) -> None:
    assert empty.get("/api/health/", None).json == {
        "status": "healthy",
        "database": "connected",
        "cache": "connected",
    }
    assert empty.get("/livez", None).json == {"status": "alive"}
    assert empty.get("/readyz", None).json == {
        "status": "ready",
        "schema_version": "memory",
        "cache": "connected",
    }


def test_health_names_the_unavailable_parts(empty: ApiFixture) -> None:
    def away() -> None:
        raise Unavailable("Redis does not answer.")

    empty.client.app = build_app(evolve(empty.deps, cache=away))
    result = empty.get("/api/health/", None)
    assert result.status_code == 503
    assert (result.json["database"], result.json["cache"]) == ("connected", "disconnected")
    assert (result.json["code"], result.headers["retry-after"]) == ("unavailable", "1")
    assert result.json["request_id"] == result.headers["x-request-id"]


def test_an_outdated_schema_revision_is_not_ready(empty: ApiFixture) -> None:
    empty.client.app = build_app(evolve(empty.deps, outdated={"memory"}))
    result = empty.get("/readyz", None)
    assert (result.status_code, result.json["schema_version"]) == (503, "memory")


@pytest.mark.parametrize(
    ("error", "status", "seconds"),
    [(Throttled(2.1), 429, "3"), (Unavailable("away", retry_after=0.2), 503, "1")],
)
def test_a_client_that_must_wait_gets_retry_after(
    api: ApiFixture, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, seconds: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(type(api.deps.jobs), "queues", fail)
    result = api.get("/api/v1/queues")
    assert (result.status_code, result.headers["retry-after"]) == (status, seconds)
    assert result.headers["content-type"] == "application/problem+json"


def test_a_request_is_logged_once_with_its_route(api: ApiFixture) -> None:
    from structlog.testing import capture_logs

    api.schedule()
    with capture_logs() as logs:
        api.get("/api/v1/schedules/1")
    (line,) = logs
    assert line["event"] == "request"
    assert line["route"] == "/api/v1/schedules/{schedule_id}"
    assert (line["method"], line["status"], line["user_id"]) == ("GET", 200, 1)
    assert line["operation"] == "get_schedule"
    assert line["ms"] > 0
    assert len(line["request_id"]) == 32


@pytest.mark.parametrize("origins", [(), ("https://app.example",)])
def test_the_liveness_shortcut_responds_like_the_operation(
    make_api: Callable[[HttpSettings], ApiFixture], origins: tuple[str, ...]
) -> None:
    """Requests that the shortcut does not match are handled by Falcon."""
    settings = HttpSettings(
        public_url="https://workbell.example", cors_origins=origins, allowed_hosts=["workbell"]
    )
    api = make_api(settings)
    asked = {"X-Request-ID": "one"}
    usual = api.get("/livez", None, headers=asked)
    whole = api.get("/livez/", None, headers=asked)
    assert usual.text == whole.text == '{"status":"alive"}'
    assert usual.headers == whole.headers
    assert usual.headers["x-request-id"] == "one"
    assert usual.headers["strict-transport-security"]
    assert len(api.get("/livez", None).headers["x-request-id"]) == 32
    assert api.get("/livez?much=1", None).status_code == 400
    assert api.get("/livez", None, headers={"Accept": "text/html"}).status_code == 406
    assert api.client.simulate_head("/livez").text == ""
    assert api.client.simulate_post("/livez").status_code == 405


def test_a_probe_is_logged_only_if_it_fails(empty: ApiFixture) -> None:
    from structlog.testing import capture_logs

    empty.client.app = build_app(evolve(empty.deps, outdated={"memory"}))
    with capture_logs() as logs:
        empty.get("/livez", None)
        empty.get("/readyz", None)
    assert [line["log_level"] for line in logs] == ["debug", "info"]


def test_every_metric_of_the_api_has_a_help_text(api: ApiFixture) -> None:
    text = api.get("/metrics", "root").text
    found = {each.name: each for each in text_string_to_metric_families(text)}
    assert set(found) == {
        "workbell_build_info",
        "workbell_jobs",
        "workbell_jobs_finished_last_hour",
        "workbell_jobs_failed_last_hour",
        "workbell_schedules_active",
        "workbell_schedules_overdue",
        "workbell_queue_jobs",
        "workbell_queue_oldest_wait_seconds",
        "workbell_workers_live",
        "workbell_tasks_parked",
        "workbell_cache_requests",
    }
    assert all(each.documentation for each in found.values())


def test_parked_tasks_are_counted(api: ApiFixture) -> None:
    assert "workbell_tasks_parked 0.0\n" in api.get("/metrics", "root").text
    with api.store.begin() as tx:
        assert tx.definitions.set_parked("echo", api.clock.at)
    assert "workbell_tasks_parked 1.0\n" in api.get("/metrics", "root").text


def test_a_worker_is_live_while_its_lease_is_valid(api: ApiFixture) -> None:
    now, lease = api.clock.at, api.deps.worker_lease
    ages = [timedelta(), lease, lease + timedelta(seconds=1)]
    with api.store.begin() as tx:
        for number, age in enumerate(ages):
            tx.workers.heartbeat(
                WorkerInfo(
                    id=f"w{number}",
                    host="h",
                    pid=number,
                    started_at=now - age,
                    seen_at=now - age,
                    threads=1,
                    running=0,
                    queues=("default",),
                )
            )
    assert "workbell_workers_live 2.0\n" in api.get("/metrics", "root").text
