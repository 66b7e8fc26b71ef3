"""What an operator sees of processes, and what they do besides running jobs."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from attrs import define
from sqlalchemy import Table, update

from tests.processes.fleet import PASSWORD, Fleet, Part, counted, until
from workbell.adapters.sql.schema.tables import jobs as job_rows
from workbell.adapters.sql.schema.tables import schedules as schedule_rows
from workbell.adapters.sql.store import SqlStore
from workbell.domain.errors import NotFound
from workbell.domain.jobs.job import JobState

pytestmark = pytest.mark.integration

SCRAPER = "token-of-prometheus"


@define
class Admin:
    """The administrator, signed in at an API process."""

    api: Part
    token: str

    @classmethod
    def at(cls, api: Part) -> "Admin":
        """Sign in."""
        said = {"username": "admin", "password": PASSWORD}
        status, answer = api.call("POST", "/api/v1/auth/login", body=said)
        assert status == 200, answer
        return cls(api, answer["access"])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return what is answered."""
        status, answer = self.api.call(method, f"/api/v1{path}", self.token, body)
        assert status in (200, 201, 202), answer
        return answer

    def queue(self) -> str:
        """Return how the default queue's switch stands."""
        found = self.ask("GET", "/queues")
        rows = found["results"] if isinstance(found, dict) else found
        (state,) = [row["state"] for row in rows if row["name"] == "default"]
        return str(state)

    def workers(self) -> list[dict[str, Any]]:
        """Return the workers that are listed."""
        found = self.ask("GET", "/workers")
        return list(found["results"] if isinstance(found, dict) else found)


def lines_of(part: Part, event: str) -> list[dict[str, Any]]:
    """Return the lines of one event in a process' log, which is JSON throughout."""
    lines = [msgspec.json.decode(line) for line in part.log.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def set_back(fleet: Fleet, table: Table, number: int, **by: timedelta) -> None:
    """Set moments of a row back, as if so much time had passed."""
    assert isinstance(fleet.application.store, SqlStore)
    now = fleet.application.clock.now()
    with fleet.application.store._connections.writing() as db:
        moments = {name: now - age for name, age in by.items()}
        db.execute(update(table).where(table.c.id == number).values(moments))


def test_every_line_says_which_request_job_and_attempt(fleet: Fleet) -> None:
    api, worker = (fleet.start(part, log_format="json") for part in ("api", "worker"))
    asked = {"task_definition": "touch", "parameters": {"file": str(fleet.folder / "told")}}
    number = Admin.at(api).ask("POST", "/jobs", asked)["id"]
    (line,) = until(lambda: lines_of(worker, "attempt_ended"))
    assert (line["job"], line["attempt"], line["task"]) == (number, 1, "touch")
    assert line["outcome"] == "succeeded"
    (line,) = [at for at in lines_of(api, "request") if at["operation"] == "create_job"]
    assert len(line["request_id"]) >= 16
    assert [part.terminate() for part in (worker, api)] == [0, 0]


def test_a_queue_is_drained_and_workers_show_themselves(fleet: Fleet) -> None:
    """What runs ends, what waits stays, and goes on when the queue is resumed."""
    api, worker = fleet.start("api", metrics_token=SCRAPER), fleet.start("worker")
    admin = Admin.at(api)
    running = fleet.enqueue("hold", file=str(fleet.folder / "gate"))
    until((fleet.folder / "gate.held").exists)
    (shown,) = admin.workers()
    assert (shown["pid"], shown["threads"]) == (worker.process.pid, 2)
    until(lambda: admin.workers()[0]["seen_at"] > shown["seen_at"])

    admin.ask("POST", "/queues/default/drain")
    waiting = fleet.enqueue("touch", file=str(fleet.folder / "later"))
    assert admin.queue() == "draining"
    (fleet.folder / "gate").touch()
    until(lambda: admin.queue() == "paused")
    assert fleet.ended(running).state is JobState.SUCCEEDED
    assert fleet.see(waiting).state is JobState.READY
    assert (
        counted(api.get("/metrics", SCRAPER)[1])[
            'workbell_queue_jobs{queue="default",state="ready"}'
        ]
        == 1
    )
    admin.ask("POST", "/queues/default/resume")
    assert fleet.ended(waiting).state is JobState.SUCCEEDED
    worker.terminate()
    assert admin.workers() == []


def test_the_owner_is_told_by_whoever_is_left_that_a_schedule_is_overdue(fleet: Fleet) -> None:
    """There is no scheduler, so nothing fires; a worker notices, and mails."""
    api, _ = fleet.start("api", metrics_token=SCRAPER), fleet.start("worker")
    asked = {
        "task_definition": "touch",
        "name": "Books",
        "cron_expression": "0 0 1 1 *",
        "alert_after_seconds": 60,
        "parameters": {"file": str(fleet.folder / "never")},
    }
    number = Admin.at(api).ask("POST", "/schedules", asked)["id"]
    assert counted(api.get("/metrics", SCRAPER)[1])["workbell_schedules_overdue"] == 0
    set_back(fleet, schedule_rows, number, alert_at=timedelta(minutes=1))

    messages = Path(fleet.folder / "data/mail")
    (message,) = until(lambda: list(messages.glob("*.eml")))
    assert "Books overdue" in message.read_text()
    assert counted(api.get("/metrics", SCRAPER)[1])["workbell_schedules_overdue"] == 1


def test_a_scheduler_prunes_what_is_past_its_time(fleet: Fleet) -> None:
    """The hourly turn comes at the start, too; what is young or has not ended stays."""
    worker = fleet.start("worker")
    old, young = (fleet.ended(fleet.enqueue("touch", file=str(fleet.folder / "x"))) for _ in "12")
    worker.terminate()
    waiting = fleet.enqueue("touch", file=str(fleet.folder / "x"))
    set_back(fleet, job_rows, old.id, ended_at=timedelta(days=8))
    scheduler = fleet.start("scheduler")

    def is_gone() -> bool:
        try:
            fleet.see(old)
        except NotFound:
            return True
        return False

    until(is_gone)
    assert fleet.see(young).state is JobState.SUCCEEDED
    assert fleet.see(waiting).state is JobState.READY
    assert "workbell_schedules_ticked_total" in counted(scheduler.get("/metrics")[1])
    assert scheduler.terminate() == 0
