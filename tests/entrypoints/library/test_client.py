"""The Python API of an open client."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, frozen

import workbell
from workbell.domain.jobs.job import JobState
from workbell.entrypoints.library.client import make_task


@define
class ManualClock:
    """A clock that is set by hand."""

    at: datetime

    def now(self) -> datetime:
        """Return the current time."""
        return self.at


@frozen
class Size:
    """Parameters of a task."""

    width: int
    height: int = 1


def area(_: workbell.TaskContext, parameters: Size) -> dict[str, int]:
    """Multiply."""
    return {"area": parameters.width * parameters.height}


def anything(_: workbell.TaskContext, parameters: dict[str, Any]) -> Any:
    """Return the parameters."""
    return parameters


TASKS = [make_task(area, "test.area", max_attempts=1), make_task(anything, "test.any")]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC))


@pytest.fixture
def client(clock: ManualClock) -> Generator[workbell.Client]:
    with workbell.open("memory://", tasks=TASKS, clock=clock) as opened:
        yield opened


def test_parameters_are_structured_as_the_annotated_class(client: workbell.Client) -> None:
    job = client.jobs.enqueue("test.area", Size(3, 4), owner=7, name="A")
    client.run_until_idle()
    done = client.jobs.get(job.id)
    assert (done.result, done.owner, done.name) == ({"area": 12}, 7, "A")


def test_invalid_parameters_are_refused_on_enqueue(client: workbell.Client) -> None:
    with pytest.raises(workbell.Invalid) as refused:
        client.jobs.enqueue("test.area", {"width": "wide", "depth": 1})
    assert set(refused.value.field_errors) == {
        "parameters.width",
        "parameters.depth",
    }
    with pytest.raises(workbell.Invalid):
        client.jobs.enqueue("test.any", [1])
    assert not client.jobs.find()


def test_the_same_idempotency_key_returns_the_first_job(client: workbell.Client) -> None:
    first = client.jobs.enqueue("test.any", {"n": 1}, idempotency_key="k")
    assert client.jobs.enqueue("test.any", {"n": 1}, idempotency_key="k").id == first.id
    with pytest.raises(workbell.Conflict):
        client.jobs.enqueue("test.any", {"n": 2}, idempotency_key="k")


def test_a_job_can_be_delayed(client: workbell.Client, clock: ManualClock) -> None:
    later = client.jobs.enqueue("test.any", delay=timedelta(minutes=5))
    at = client.jobs.enqueue("test.any", at=clock.at + timedelta(minutes=1))
    client.run_until_idle()
    assert client.jobs.get(at.id).state is JobState.SCHEDULED
    clock.at += timedelta(minutes=1)
    client.run_until_idle()
    assert client.jobs.get(at.id).state is JobState.SUCCEEDED
    assert client.jobs.get(later.id).state is JobState.SCHEDULED


def test_enqueue_many_is_all_or_nothing(client: workbell.Client) -> None:
    made = client.jobs.enqueue_many("test.any", [{"n": n} for n in range(3)], owner=3)
    assert [job.owner for job in made] == [3, 3, 3]
    with pytest.raises(workbell.Invalid):
        client.jobs.enqueue_many("test.area", [Size(1), {"width": None}])
    assert len(client.jobs.find(owner=3)) == 3
    assert client.jobs.enqueue_many("test.any", []) == []


def test_jobs_are_cancelled_and_retried(client: workbell.Client) -> None:
    job = client.jobs.enqueue("test.any")
    assert client.jobs.cancel(job.id).state is JobState.CANCELLED
    assert client.jobs.retry(job.id).id == job.id
    client.run_until_idle()
    again = client.jobs.retry(job.id)
    assert (again.rerun_of, again.state) == (job.id, JobState.READY)
    assert client.jobs.find(statuses=["succeeded"], task="test.any")[0].id == job.id


def test_a_schedule_is_edited_paused_run_backfilled_and_deleted(
    client: workbell.Client, clock: ManualClock
) -> None:
    made = client.schedules.create(task="test.any", cron="0 * * * *", owner=5, name="Hourly")
    assert made.next_at == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert client.schedules.edit(made.id, cron="30 * * * *").version == 2
    assert not client.schedules.pause(made.id).is_active
    assert client.schedules.resume(made.id).is_active
    assert client.schedules.get(made.id).name == "Hourly"
    assert [found.id for found in client.schedules.find(owner=5)] == [made.id]
    assert client.schedules.run_now(made.id).schedule_id == made.id
    plan = client.schedules.backfill(made.id, clock.at - timedelta(hours=3), clock.at, dry_run=True)
    assert (plan.count, plan.jobs) == (3, ())
    client.schedules.delete(made.id)
    with pytest.raises(workbell.NotFound):
        client.schedules.get(made.id)


def test_a_client_with_workers_runs_jobs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    with workbell.open(url, workers=2, data_dir=tmp_path, tasks=TASKS) as client:
        job = client.jobs.enqueue("test.area", Size(2))
        client.wake()
        client.run_until_idle()
        assert client.jobs.get(job.id).result == {"area": 2}


def test_a_store_in_memory_refuses_a_connection(client: workbell.Client) -> None:
    with pytest.raises(workbell.Invalid):
        client.jobs.enqueue("test.any", connection=object())  # type: ignore[arg-type]


def test_the_repr_of_a_client_is_short(client: workbell.Client) -> None:
    assert repr(client) == "Client(jobs=JobsClient(), schedules=SchedulesClient())"


def test_a_wake_up_without_workers_does_nothing(client: workbell.Client) -> None:
    job = client.jobs.enqueue("test.any")
    client.wake()
    assert client.jobs.get(job.id).state is JobState.READY


def test_a_task_key_can_be_declared_only_once() -> None:
    workbell.task("test.declared")(anything)
    with pytest.raises(workbell.Conflict):
        workbell.task("test.declared")(anything)
