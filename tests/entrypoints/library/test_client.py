"""The Python face: what a program does with an open bell."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, frozen

import workbell
from workbell.domain.jobs.job import JobState
from workbell.entrypoints.library.client import task_of


@define
class SetClock:
    """A clock that stands where it is put."""

    at: datetime

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.at


@frozen
class Size:
    """What the task takes."""

    width: int
    height: int = 1


def area(_: workbell.TaskContext, parameters: Size) -> dict[str, int]:
    """Multiply."""
    return {"area": parameters.width * parameters.height}


def anything(_: workbell.TaskContext, parameters: dict[str, Any]) -> Any:
    """Return what was given."""
    return parameters


TASKS = [task_of(area, "test.area", max_attempts=1), task_of(anything, "test.any")]


@pytest.fixture
def clock() -> SetClock:
    return SetClock(datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC))


@pytest.fixture
def bell(clock: SetClock) -> Generator[workbell.Client]:
    with workbell.open("memory://", tasks=TASKS, clock=clock) as opened:
        yield opened


def test_parameters_are_read_as_the_annotated_class(bell: workbell.Client) -> None:
    job = bell.jobs.enqueue("test.area", Size(3, 4), owner=7, name="A")
    bell.run_until_idle()
    done = bell.jobs.get(job.id)
    assert (done.result, done.owner, done.name) == ({"area": 12}, 7, "A")


def test_parameters_that_do_not_fit_are_refused_at_once(bell: workbell.Client) -> None:
    with pytest.raises(workbell.Invalid) as refused:
        bell.jobs.enqueue("test.area", {"width": "wide", "depth": 1})
    assert set(refused.value.field_errors) == {
        "parameters.width",
        "parameters.depth",
    }
    with pytest.raises(workbell.Invalid):
        bell.jobs.enqueue("test.any", [1])
    assert not bell.jobs.find()


def test_the_same_key_answers_the_first_job(bell: workbell.Client) -> None:
    first = bell.jobs.enqueue("test.any", {"n": 1}, idempotency_key="k")
    assert bell.jobs.enqueue("test.any", {"n": 1}, idempotency_key="k").id == first.id
    with pytest.raises(workbell.Conflict):
        bell.jobs.enqueue("test.any", {"n": 2}, idempotency_key="k")


def test_work_may_be_put_off(bell: workbell.Client, clock: SetClock) -> None:
    later = bell.jobs.enqueue("test.any", delay=timedelta(minutes=5))
    at = bell.jobs.enqueue("test.any", at=clock.at + timedelta(minutes=1))
    bell.run_until_idle()
    assert bell.jobs.get(at.id).state is JobState.SCHEDULED
    clock.at += timedelta(minutes=1)
    bell.run_until_idle()
    assert bell.jobs.get(at.id).state is JobState.SUCCEEDED
    assert bell.jobs.get(later.id).state is JobState.SCHEDULED


def test_many_are_enqueued_together_or_not_at_all(bell: workbell.Client) -> None:
    made = bell.jobs.enqueue_many("test.any", [{"n": n} for n in range(3)], owner=3)
    assert [job.owner for job in made] == [3, 3, 3]
    with pytest.raises(workbell.Invalid):
        bell.jobs.enqueue_many("test.area", [Size(1), {"width": None}])
    assert len(bell.jobs.find(owner=3)) == 3
    assert bell.jobs.enqueue_many("test.any", []) == []


def test_jobs_are_cancelled_and_retried(bell: workbell.Client) -> None:
    job = bell.jobs.enqueue("test.any")
    assert bell.jobs.cancel(job.id).state is JobState.CANCELLED
    assert bell.jobs.retry(job.id).id == job.id
    bell.run_until_idle()
    again = bell.jobs.retry(job.id)
    assert (again.rerun_of, again.state) == (job.id, JobState.READY)
    assert bell.jobs.find(statuses=["succeeded"], task="test.any")[0].id == job.id


def test_a_schedule_is_edited_paused_run_backfilled_and_deleted(
    bell: workbell.Client, clock: SetClock
) -> None:
    made = bell.schedules.create(task="test.any", cron="0 * * * *", owner=5, name="Hourly")
    assert made.next_at == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert bell.schedules.edit(made.id, cron_expression="30 * * * *").version == 2
    assert not bell.schedules.pause(made.id).is_active
    assert bell.schedules.resume(made.id).is_active
    assert bell.schedules.get(made.id).name == "Hourly"
    assert [found.id for found in bell.schedules.find(owner=5)] == [made.id]
    assert bell.schedules.run_now(made.id).schedule_id == made.id
    plan = bell.schedules.backfill(made.id, clock.at - timedelta(hours=3), clock.at, dry_run=True)
    assert (plan.count, plan.jobs) == (3, ())
    bell.schedules.delete(made.id)
    with pytest.raises(workbell.NotFound):
        bell.schedules.get(made.id)


def test_a_bell_with_workers_runs_by_itself(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    with workbell.open(url, workers=2, data_dir=tmp_path, tasks=TASKS) as bell:
        job = bell.jobs.enqueue("test.area", Size(2))
        bell.wake()
        bell.run_until_idle()
        assert bell.jobs.get(job.id).result == {"area": 2}


def test_memory_has_no_connections_to_join(bell: workbell.Client) -> None:
    with pytest.raises(workbell.Invalid):
        bell.jobs.enqueue("test.any", connection=object())  # type: ignore[arg-type]


def test_a_prompt_shows_a_bell_in_short(bell: workbell.Client) -> None:
    assert repr(bell) == "Bell(jobs=BellJobs(), schedules=BellSchedules())"


def test_a_bell_without_workers_has_nobody_to_wake(bell: workbell.Client) -> None:
    job = bell.jobs.enqueue("test.any")
    bell.wake()
    assert bell.jobs.get(job.id).state is JobState.READY


def test_a_key_is_declared_once() -> None:
    workbell.task("test.declared")(anything)
    with pytest.raises(workbell.Conflict):
        workbell.task("test.declared")(anything)
