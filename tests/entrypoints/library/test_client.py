"""The Python API of an open client."""

import signal
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
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


def fails(_: workbell.TaskContext, __: dict[str, Any]) -> None:
    """Fail."""
    raise ZeroDivisionError("by zero")


TASKS = [
    make_task(area, "test.area", max_attempts=1),
    make_task(anything, "test.any"),
    make_task(fails, "test.fails", max_attempts=1),
]


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


def test_the_attempts_of_a_job_have_tracebacks_and_timings(client: workbell.Client) -> None:
    job = client.jobs.enqueue("test.fails", {})
    assert client.jobs.attempts(job.id) == []
    client.run_until_idle()
    (attempt,) = client.jobs.attempts(job.id)
    assert isinstance(attempt, workbell.Attempt)
    assert (attempt.number, attempt.outcome) == (1, "failed")
    assert attempt.error == "ZeroDivisionError: by zero"
    assert attempt.traceback is not None
    assert "in fails" in attempt.traceback
    assert attempt.duration == attempt.queue_wait == timedelta()
    with pytest.raises(workbell.NotFound):
        client.jobs.attempts(job.id + 1)


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


@pytest.fixture
def _interruptible() -> Generator[None]:
    """Handle SIGINT as Python does: a shell that starts the tests in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("database", ["memory://", "sqlite:///{}/jobs.db"])
def test_ctrl_c_returns_the_job_to_its_queue(database: str, tmp_path: Path) -> None:
    """It uses up no attempt, and the next call runs it."""
    started = list[int]()

    def interrupted_once(context: workbell.TaskContext, _: dict[str, Any]) -> str:
        started.append(context.attempt)
        context.log.info("started")
        if len(started) == 2:
            signal.raise_signal(signal.SIGINT)
        return "done"

    tasks = [make_task(interrupted_once, "test.interrupted")]
    url = database.format(tmp_path)
    with workbell.open(url, tasks=tasks, data_dir=tmp_path) as client:
        jobs = [client.jobs.enqueue("test.interrupted") for _ in range(4)]
        with pytest.raises(KeyboardInterrupt):
            client.run_until_idle()
        found = [client.jobs.get(job.id) for job in jobs]
        assert [job.state for job in found] == [JobState.SUCCEEDED] + 3 * [JobState.READY]
        assert [job.attempt for job in found] == [1, 0, 0, 0]
        client.run_until_idle()
        assert [client.jobs.get(job.id).result for job in jobs] == ["done"] * 4
    assert started == [1] * 5


def test_a_task_outside_of_the_main_thread_may_raise_keyboard_interrupt(tmp_path: Path) -> None:
    """Python never raises it there: it is an error like another."""

    def raising(_: workbell.TaskContext, __: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    tasks = [make_task(raising, "test.raising", max_attempts=1)]
    with workbell.open("memory://", tasks=tasks, data_dir=tmp_path) as client:
        job = client.jobs.enqueue("test.raising")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(client.run_until_idle).result()
        assert client.jobs.get(job.id).state is JobState.FAILED


def test_fifty_snoozes_change_neither_the_backoff_nor_the_maximum(
    clock: ManualClock, tmp_path: Path
) -> None:
    def snooze(context: workbell.TaskContext, _: dict[str, Any]) -> None:
        if context.attempt <= 50:
            raise workbell.Snooze(5)
        raise ValueError("broken")

    tasks = [make_task(snooze, "test.snooze")]
    due_in = timedelta(0)
    with workbell.open("memory://", tasks=tasks, clock=clock, data_dir=tmp_path) as client:
        job = client.jobs.enqueue("test.snooze")
        for _ in range(51):
            client.run_until_idle()
            due_in = client.jobs.get(job.id).due_at - clock.at
            clock.at += timedelta(seconds=5)
        failed = client.jobs.get(job.id)
    assert (failed.attempt, failed.tries, failed.max_attempts) == (51, 1, 3)
    assert failed.reason == "ValueError: broken"
    assert due_in <= timedelta(seconds=10)


@pytest.mark.parametrize("seconds", [-5, float("nan")])
def test_an_impossible_snooze_fails_the_job(client: workbell.Client, seconds: float) -> None:
    def snooze(_: workbell.TaskContext, __: dict[str, Any]) -> None:
        raise workbell.Snooze(seconds)

    client.application.tasks.add(make_task(snooze, "test.snooze"))
    job = client.jobs.enqueue("test.snooze")
    client.run_until_idle()
    failed = client.jobs.get(job.id)
    assert (failed.state, failed.attempt) == (JobState.FAILED, 1)
    assert "A snooze takes 1 second to 366 days" in (failed.reason or "")


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
