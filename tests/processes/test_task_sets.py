"""Worker processes with different sets of tasks, as during a deploy."""

from functools import partial

import pytest

from tests.processes.fleet import Fleet, until
from workbell.domain.identity.actor import SYSTEM
from workbell.domain.jobs.job import Job, JobState

pytestmark = pytest.mark.integration

OTHER_TASKS = "other_tasks"


def touch(fleet: Fleet, count: int) -> list[Job]:
    """Enqueue jobs of the task 'touch', which not every process knows."""
    return [fleet.enqueue("touch", file=str(fleet.folder / "touched")) for _ in range(count)]


def states(fleet: Fleet, jobs: list[Job]) -> set[JobState]:
    return {fleet.application.jobs.get(SYSTEM, job.id).state for job in jobs}


def test_a_process_without_the_task_burns_no_attempt_and_the_other_runs_it(fleet: Fleet) -> None:
    without = fleet.start("worker", tasks=OTHER_TASKS)
    jobs = touch(fleet, 3)
    until(lambda: "unknown_tasks_excluded" in without.log.read_text())
    until(lambda: states(fleet, jobs) == {JobState.READY})
    with_task = fleet.start("worker")
    jobs += touch(fleet, 20)
    ended = [fleet.wait_for_end(job) for job in jobs]
    assert {(job.state, job.attempt) for job in ended} == {(JobState.SUCCEEDED, 1)}
    for job in ended:
        attempts = fleet.application.jobs.attempts(SYSTEM, job.id)
        assert [attempt.number for attempt in attempts] == [1]
    assert [part.terminate() for part in (without, with_task)] == [0, 0]


def test_a_task_that_no_process_knows_is_parked_until_one_does(fleet: Fleet) -> None:
    start_quick = partial(fleet.start, "worker", lease_seconds="3", park_seconds="1")
    without = start_quick(tasks=OTHER_TASKS)
    jobs = touch(fleet, 3)
    until(lambda: "touch" in fleet.application.definitions.parked())
    until(lambda: states(fleet, jobs) == {JobState.HELD})
    (worker,) = fleet.application.jobs.workers(SYSTEM)
    assert "touch" not in worker.knows
    assert "touch" in worker.excluded
    with_task = start_quick()
    ended = [fleet.wait_for_end(job) for job in jobs]
    assert {(job.state, job.attempt) for job in ended} == {(JobState.SUCCEEDED, 1)}
    until(lambda: not fleet.application.definitions.parked())
    assert [part.terminate() for part in (without, with_task)] == [0, 0]
