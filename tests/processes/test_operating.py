"""Operation: logs, draining, worker list, alerts and retention."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import define
from sqlalchemy import Table, update

from tests.processes.fleet import PASSWORD, Fleet, Part, parse_metrics, until
from workbell.adapters.sql.schema.tables import jobs as job_rows
from workbell.adapters.sql.schema.tables import schedules as schedule_rows
from workbell.adapters.sql.store import SqlStore
from workbell.domain.errors import NotFound
from workbell.domain.jobs.job import JobState

pytestmark = pytest.mark.integration

SCRAPER = "token-of-prometheus"


@define
class Admin:
    """The administrator, logged in at an API process."""

    api: Part
    token: str

    @classmethod
    def log_in(cls, api: Part) -> "Admin":
        """Log in."""
        credentials = {"username": "admin", "password": PASSWORD}
        status, response = api.call("POST", "/api/v1/auth/login", body=credentials)
        assert status == 200, response
        return cls(api, response["access"])

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Return the body of a response."""
        status, response = self.api.call(method, f"/api/v1{path}", self.token, body)
        assert status in (200, 201, 202), response
        return response

    def queue(self) -> str:
        """Return the state of the default queue."""
        found = self.request("GET", "/queues")
        rows = found["results"] if isinstance(found, dict) else found
        (state,) = [row["state"] for row in rows if row["name"] == "default"]
        return str(state)

    def workers(self) -> list[dict[str, Any]]:
        """Return the listed workers."""
        found = self.request("GET", "/workers")
        return list(found["results"] if isinstance(found, dict) else found)


def lines_of(part: Part, event: str) -> list[dict[str, Any]]:
    """Return the lines of one event in the JSON log of a process."""
    lines = [msgspec.json.decode(line) for line in part.log.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def age_row(fleet: Fleet, table: Table, number: int, **by: timedelta) -> None:
    """Move timestamps of a row into the past."""
    assert isinstance(fleet.application.store, SqlStore)
    now = fleet.application.clock.now()
    with fleet.application.store._connections.writing() as db:
        timestamps = {name: now - age for name, age in by.items()}
        db.execute(update(table).where(table.c.id == number).values(timestamps))


def test_log_lines_name_request_job_and_attempt(fleet: Fleet) -> None:
    api, worker = (fleet.start(part, log_format="json") for part in ("api", "worker"))
    asked = {"task_definition": "touch", "parameters": {"file": str(fleet.folder / "runs")}}
    number = Admin.log_in(api).request("POST", "/jobs", asked)["id"]
    (line,) = until(lambda: lines_of(worker, "attempt_ended"))
    assert (line["job"], line["attempt"], line["task"]) == (number, 1, "touch")
    assert line["outcome"] == "succeeded"
    assert line["duration_seconds"] >= 0 and line["queue_wait_seconds"] >= 0
    (line,) = [at for at in lines_of(api, "request") if at["operation"] == "create_job"]
    assert len(line["request_id"]) >= 16
    assert [part.terminate() for part in (worker, api)] == [0, 0]


def test_a_queue_is_drained_and_workers_are_listed(fleet: Fleet) -> None:
    """Running jobs end; waiting jobs remain until the queue is resumed."""
    api, worker = fleet.start("api", metrics_token=SCRAPER), fleet.start("worker")
    admin = Admin.log_in(api)
    running = fleet.enqueue("hold", file=str(fleet.folder / "gate"))
    until((fleet.folder / "gate.held").exists)
    (shown,) = admin.workers()
    assert (shown["pid"], shown["threads"]) == (worker.process.pid, 2)
    until(lambda: admin.workers()[0]["seen_at"] > shown["seen_at"])

    admin.request("POST", "/queues/default/drain")
    waiting = fleet.enqueue("touch", file=str(fleet.folder / "later"))
    assert admin.queue() == "draining"
    (fleet.folder / "gate").touch()
    until(lambda: admin.queue() == "paused")
    assert fleet.wait_for_end(running).state is JobState.SUCCEEDED
    assert fleet.reload(waiting).state is JobState.READY
    assert (
        parse_metrics(api.get("/metrics", SCRAPER)[1])[
            'workbell_queue_jobs{queue="default",state="ready"}'
        ]
        == 1
    )
    admin.request("POST", "/queues/default/resume")
    assert fleet.wait_for_end(waiting).state is JobState.SUCCEEDED
    worker.terminate()
    assert admin.workers() == []


def test_a_worker_alerts_the_owner_of_an_overdue_schedule(fleet: Fleet) -> None:
    """No scheduler runs, so the schedule does not fire; a worker sends the email."""
    api, _ = fleet.start("api", metrics_token=SCRAPER), fleet.start("worker")
    asked = {
        "task_definition": "touch",
        "name": "Invoices",
        "cron_expression": "0 0 1 1 *",
        "alert_after_seconds": 60,
        "parameters": {"file": str(fleet.folder / "never")},
    }
    number = Admin.log_in(api).request("POST", "/schedules", asked)["id"]
    assert parse_metrics(api.get("/metrics", SCRAPER)[1])["workbell_schedules_overdue"] == 0
    age_row(fleet, schedule_rows, number, alert_at=timedelta(minutes=1))

    messages = Path(fleet.folder / "data/mail")
    (message,) = until(lambda: list(messages.glob("*.eml")))
    assert "Invoices overdue" in message.read_text()
    assert parse_metrics(api.get("/metrics", SCRAPER)[1])["workbell_schedules_overdue"] == 1


def test_a_scheduler_deletes_expired_jobs(fleet: Fleet) -> None:
    """Retention also runs at startup; recent and unfinished jobs remain."""
    worker = fleet.start("worker")
    old, young = (
        fleet.wait_for_end(fleet.enqueue("touch", file=str(fleet.folder / "x"))) for _ in "12"
    )
    worker.terminate()
    waiting = fleet.enqueue("touch", file=str(fleet.folder / "x"))
    age_row(fleet, job_rows, old.id, ended_at=timedelta(days=8))
    scheduler = fleet.start("scheduler")

    def is_gone() -> bool:
        try:
            fleet.reload(old)
        except NotFound:
            return True
        return False

    until(is_gone)
    assert fleet.reload(young).state is JobState.SUCCEEDED
    assert fleet.reload(waiting).state is JobState.READY
    assert "workbell_schedules_ticked_total" in parse_metrics(scheduler.get("/metrics")[1])
    assert scheduler.terminate() == 0
