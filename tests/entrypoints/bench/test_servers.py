"""Benchmarks on servers use temporary databases and drop them."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import make_url

from tests.contract.servers import address, administration, new_database, server
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import Status
from workbell.entrypoints.bench.targets import Target
from workbell.entrypoints.bench.workers import (
    NOOP,
    StartTimes,
    is_finished,
    wait_until,
    worker_processes,
)
from workbell.entrypoints.cli.main import main
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.integration


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, ["bench", *words])

    return invoke


def test_ticks_are_measured_in_a_temporary_database(run: Any, tmp_path: Path) -> None:
    url = address(new_database("postgresql"))
    assert run("ticks", "--schedules", "100", "--database", url).exit_code == 0
    run("page")
    page = (tmp_path / "PERFORMANCE.md").read_text()
    assert "## ticks-postgresql" in page
    assert "started after, s" in page
    assert url not in page


def test_worker_processes_drain_and_the_database_is_dropped() -> None:
    target = Target.parse(address(new_database("postgresql")))
    starts = StartTimes()
    with target.application(starts.tasks()) as application:
        scratch = make_url(application.settings.database_url).database
        jobs = application.jobs.create_many(SYSTEM, [NewJob(task_definition=NOOP)] * 100)
        with worker_processes(application.settings, 2) as done:
            wait_until(lambda: done() == 100 and is_finished(application), seconds=60)
        finished = [application.jobs.get(SYSTEM, job.id) for job in jobs]
    assert {(job.status, job.attempt) for job in finished} == {(Status.SUCCEEDED, 1)}
    with administration("postgresql") as connection:
        names = connection.exec_driver_sql("SELECT datname FROM pg_database").scalars().all()
    assert scratch not in names


def test_a_database_in_use_is_refused(run: Any) -> None:
    refused = run("jobs", "--database", address(server("postgresql").url))
    assert refused.exit_code == 2
    assert "is not empty" in refused.stderr


@pytest.mark.parametrize("words", [["--processes", "2"], ["--database", "sqlite:///bench.db"]])
def test_sqlite_supports_neither_processes_nor_a_database(run: Any, words: list[str]) -> None:
    refused = run("jobs", *words)
    assert refused.exit_code == 2
