"""Benchmarks on servers: beside an empty database, and nothing is left there."""

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
    """Return a way to run a command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, ["bench", *words])

    return invoke


def test_ticks_are_measured_beside_an_empty_database(run: Any, tmp_path: Path) -> None:
    url = address(new_database("postgresql"))
    assert run("ticks", "--schedules", "100", "--database", url).exit_code == 0
    run("page")
    page = (tmp_path / "PERFORMANCE.md").read_text()
    assert "## ticks-postgresql" in page
    assert "started after, s" in page
    assert url not in page


def test_processes_of_their_own_drain_and_nothing_is_left() -> None:
    place = Target.parse(address(new_database("postgresql")))
    starts = StartTimes()
    with place.application(starts.tasks()) as application:
        scratch = make_url(application.settings.database_url).database
        jobs = application.jobs.create_many(SYSTEM, [NewJob(task_definition=NOOP)] * 100)
        with worker_processes(application.settings, 2) as done:
            wait_until(lambda: done() == 100 and is_finished(application), seconds=60)
        found = [application.jobs.get(SYSTEM, job.id) for job in jobs]
    assert {(job.status, job.attempt) for job in found} == {(Status.SUCCEEDED, 1)}
    with administration("postgresql") as connection:
        names = connection.exec_driver_sql("SELECT datname FROM pg_database").scalars().all()
    assert scratch not in names


def test_a_database_in_use_is_refused(run: Any) -> None:
    refused = run("jobs", "--database", address(server("postgresql").url))
    assert refused.exit_code == 2
    assert "is not empty" in refused.stderr


@pytest.mark.parametrize("words", [["--processes", "2"], ["--database", "sqlite:///bench.db"]])
def test_sqlite_has_one_process_and_a_folder_of_its_own(run: Any, words: list[str]) -> None:
    refused = run("jobs", *words)
    assert refused.exit_code == 2
