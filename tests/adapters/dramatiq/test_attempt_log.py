"""The log event for the end of an attempt."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.adapters.dramatiq.factories import NOW, claim, settlement
from tests.contract.factories import ManualClock
from workbell.adapters.dramatiq.attempt_log import log_attempt
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import ClaimMode
from workbell.domain.jobs.task import Task
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.unit


def test_the_event_has_outcome_duration_and_queue_wait() -> None:
    claimed = claim(5, attempt=2, queued_at=NOW - timedelta(seconds=1.5))
    ended = settlement(5, outcome=Outcome.FAILED, error="it broke")
    with capture_logs() as logs:
        log_attempt(claimed, ended)
    assert logs == [
        {
            "event": "attempt_ended",
            "log_level": "info",
            "job": 5,
            "attempt": 2,
            "task": "t",
            "outcome": "failed",
            "queue_wait_seconds": 1.5,
            "duration_seconds": 3.0,
            "error": "it broke",
        }
    ]


@pytest.mark.parametrize("mode", ClaimMode)
def test_only_attempts_of_batch_tasks_are_not_logged(mode: ClaimMode) -> None:
    with capture_logs() as logs:
        log_attempt(claim(1, mode=mode), settlement(1, mode=mode))
    assert len(logs) == (0 if mode is ClaimMode.BATCH else 1)


def test_no_traceback_is_logged() -> None:
    with capture_logs() as logs:
        log_attempt(claim(1), settlement(1, traceback="Traceback: it broke"))
    assert "Traceback" not in str(logs)


@pytest.mark.parametrize("log_attempts", [True, False])
def test_a_lost_attempt_is_logged_and_counted(tmp_path: Path, log_attempts: bool) -> None:
    clock = ManualClock(NOW)
    application = build(
        Settings(database_url="memory://", data_dir=tmp_path),
        tasks=[Task(key="t", body=lambda *_: None, max_attempts=1)],
        clock=clock,
    )
    with closing(application):
        application.migrate_and_register()
        job, _ = application.jobs.create(SYSTEM, NewJob(task_definition="t"))
        application.execution.claim("default", worker="gone", limit=1, free_threads=1)
        clock.at += timedelta(seconds=60)
        runtime = application.runtime(threads=1, log_attempts=log_attempts)
        with capture_logs() as logs:
            runtime.sweep()
    ended = [line for line in logs if line["event"] == "attempt_ended"]
    expected = [(job.id, 1, "t", "lost", 60.0)] if log_attempts else []
    names = ("job", "attempt", "task", "outcome", "duration_seconds")
    assert [tuple(line[name] for name in names) for line in ended] == expected
    exposition = application.metrics.exposition().decode()
    assert 'workbell_job_attempts_total{outcome="lost",task="t"} 1.0\n' in exposition
    assert "workbell_jobs_reaped_total 1.0\n" in exposition
