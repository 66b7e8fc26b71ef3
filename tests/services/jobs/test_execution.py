"""Execution: each attempt is settled exactly once."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define, evolve, frozen

from tests.contract.factories import NOON, after
from tests.services.engine import EngineFixture, FixedRandomness, RecordingContext, make_engine
from workbell.adapters.memory.jobs.queues import MemoryWorkerRepository
from workbell.adapters.memory.jobs.repository import MemoryJobRepository
from workbell.domain.errors import (
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    Throttled,
    Unavailable,
)
from workbell.domain.identity.actor import ALL_OWNERS, SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Claim, LogLine, Outcome, Settlement, TaskResult, settle
from workbell.domain.jobs.job import Job, JobState, Progress
from workbell.domain.jobs.task import (
    Cancelled,
    Interrupted,
    OnLost,
    OwnershipLost,
    ResultForHook,
    ShuttingDown,
    Snooze,
    Task,
    TaskContext,
    TimedOut,
)
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.schedules.repository import SchedulesTx
from workbell.services.jobs.execution import ExecutionService, sanitise_text
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.unit

CANCELLED, FAILED, HELD, READY, RUNNING, SCHEDULED, SKIPPED, SUCCEEDED = (
    JobState.CANCELLED,
    JobState.FAILED,
    JobState.HELD,
    JobState.READY,
    JobState.RUNNING,
    JobState.SCHEDULED,
    JobState.SKIPPED,
    JobState.SUCCEEDED,
)
WORKER = WorkerInfo(
    id="w", host="h", pid=1, started_at=NOON, seen_at=NOON, threads=2, running=1, queues=["default"]
)


def after_running(
    folder: Path, body: Callable[[TaskContext, Any], Any], **fields: Any
) -> tuple[EngineFixture, Job, RecordingContext]:
    """Run a body once; return the engine, the job and the context."""
    engine = make_engine(folder, Task(key="body", body=body, **fields))
    job = engine.enqueue(engine.add_user(), task_definition="body")
    (claim,) = engine.claim()
    context = engine.run(claim)
    return engine, engine.reload_job(job), context


def raising(error: BaseException) -> Callable[..., Any]:
    def body(*_: Any, **__: Any) -> None:
        raise error

    return body


# claiming and settling


def test_outcomes_and_the_next_claim_are_one_transaction(
    engine: EngineFixture, alice: Actor
) -> None:
    first = engine.enqueue(alice)
    (claim,) = engine.claim()
    second = engine.enqueue(alice)
    context = RecordingContext(claim, engine.clock)
    settlement = engine.execution.run(claim, context)
    assert settlement is not None
    claims, accepted = engine.execution.claim(
        "default", worker="w", limit=1, free_threads=1, finished=[settlement]
    )
    assert ([each.id for each in claims], accepted) == ([second.id], {first.id})
    assert engine.reload_job(first).state is SUCCEEDED


def test_an_outcome_is_accepted_with_the_current_token_only(
    engine: EngineFixture, alice: Actor
) -> None:
    """A worker whose lease has expired writes nothing."""
    job = engine.enqueue(alice)
    (old,) = engine.claim()
    engine.advance(31)
    assert engine.execution.sweep().reaped == 1
    assert (engine.reload_job(job).state, engine.reload_job(job).due_at) == (SCHEDULED, after(32))
    assert not engine.settle(old)
    engine.advance(1)
    assert engine.execution.sweep().staged == 1
    (new,) = engine.claim()
    assert not engine.settle(old)
    assert engine.settle(new)
    assert not engine.settle(new)
    attempts = engine.jobs.attempts(SYSTEM, job.id)
    assert [each.outcome for each in attempts] == [Outcome.LOST, Outcome.SUCCEEDED]


def test_claims_that_were_not_started_are_released(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice)
    claims = engine.claim()
    assert engine.execution.release(claims) == {job.id}
    assert (engine.reload_job(job).state, engine.reload_job(job).attempt) == (READY, 0)
    assert engine.execution.release(claims) == set()


def test_a_heartbeat_renews_leases_and_reports_cancellation(
    engine: EngineFixture, alice: Actor
) -> None:
    """Claims that other workers own by now are not reported."""
    current, stopped, lost = (engine.enqueue(alice) for _ in range(3))
    claims = engine.claim()
    engine.jobs.cancel(alice, stopped.id)
    engine.execution.release([claim for claim in claims if claim.id == lost.id])
    engine.advance(20)
    assert engine.execution.heartbeat(claims, WORKER) == {current.id: False, stopped.id: True}
    assert engine.reload_job(current).lease_until == after(50)
    assert engine.jobs.workers(SYSTEM) == [WORKER]


def test_progress_and_lines_are_stored_while_a_job_runs(
    engine: EngineFixture, alice: Actor
) -> None:
    job = engine.enqueue(alice)
    (claim,) = engine.claim()
    line = LogLine(1, 1, NOON, "info", "hello")
    engine.execution.record_progress([(claim, Progress(1, 2, "half"))], {job.id: [line]})
    assert engine.reload_job(job).progress == Progress(1, 2, "half")
    assert engine.jobs.logs(alice, job.id, attempt=None, after=0, limit=9) == [line]
    engine.execution.record_progress([], {})


# sweeping


def test_a_sweep_may_find_nothing_to_do(engine: EngineFixture) -> None:
    swept = engine.execution.sweep()
    assert (swept.staged, swept.reaped, swept.released, list(swept.queues)) == (0, 0, 0, [])
    assert engine.execution.next_due() is None


def test_a_sweep_stages_due_jobs(engine: EngineFixture, alice: Actor) -> None:
    engine.enqueue(alice, scheduled_time=after(60))
    assert engine.execution.next_due() == after(60)
    assert engine.execution.sweep().staged == 0
    engine.advance(60)
    swept = engine.execution.sweep()
    assert (swept.staged, list(swept.queues)) == (1, ["default"])


def test_a_sweep_may_skip_reaping(engine: EngineFixture, alice: Actor) -> None:
    """After the clock was changed, leases cannot be judged for a while."""
    job = engine.enqueue(alice)
    engine.claim()
    engine.advance(60)
    assert engine.execution.sweep(reaping=False).reaped == 0
    assert engine.reload_job(job).state is RUNNING


def test_a_sweep_releases_jobs_held_by_a_concurrency_key(
    engine: EngineFixture, alice: Actor
) -> None:
    """Held jobs are checked again; a full concurrency key still holds them."""
    schedule = engine.schedule(alice)
    engine.schedules.run_now(alice, schedule.id)
    held = engine.schedules.run_now(alice, schedule.id)
    assert engine.execution.sweep().released == 0
    (claim,) = engine.claim()
    engine.settle(claim)
    assert engine.reload_job(held).state is READY


@pytest.mark.parametrize(
    ("fields", "state"),
    [({}, SCHEDULED), ({"on_lost": OnLost.FAIL}, FAILED), ({"max_attempts": 1}, FAILED)],
)
def test_a_lost_job_is_retried_or_fails_by_its_task(
    tmp_path: Path, fields: dict[str, Any], state: JobState
) -> None:
    engine = make_engine(tmp_path, Task(key="body", body=lambda *_: None, **fields))
    job = engine.enqueue(engine.add_user(), task_definition="body")
    engine.claim()
    engine.advance(31)
    engine.execution.sweep()
    assert engine.reload_job(job).state is state


# bodies


def test_a_body_gets_its_parameters_and_returns_a_result(
    engine: EngineFixture, alice: Actor
) -> None:
    job = engine.enqueue(alice, parameters={"a": [1, None]})
    engine.run(engine.claim()[0])
    assert (engine.reload_job(job).state, engine.reload_job(job).result) == (
        SUCCEEDED,
        {"a": [1, None]},
    )


@pytest.mark.parametrize("owner", ["a user", "the system", "nobody known"])
def test_the_tasks_check_runs_again_before_the_body(tmp_path: Path, owner: str) -> None:
    """With the owner's current rights, which may have been reduced."""

    def for_superusers(actor: Actor, value: Any) -> None:
        if not actor.is_super_user:
            raise NotAllowed("Superusers only.")

    engine = make_engine(tmp_path, Task(key="body", body=lambda *_: 1, check=for_superusers))
    boss = engine.add_user(is_super_user=True)
    owners = {"a user": boss.user_id, "the system": UserId(0), "nobody known": UserId(777)}
    new = NewJob(task_definition="body")
    first, _ = engine.jobs.create(SYSTEM, new, owner=owners[owner])
    engine.run(engine.claim()[0])
    allowed = owner != "nobody known"
    assert engine.reload_job(first).state is (SUCCEEDED if allowed else CANCELLED)
    if owner == "a user":
        second, _ = engine.jobs.create(boss, new)
        engine.change(boss, is_super_user=False)
        engine.run(engine.claim()[0])
        assert (engine.reload_job(second).state, engine.reload_job(second).reason) == (
            CANCELLED,
            "the owner is no longer permitted: Superusers only.",
        )


@pytest.mark.parametrize(
    "error", [Invalid("No."), NotAllowed("No."), NotFound("No."), Invalid.field("to", "No.")]
)
def test_permanent_errors_are_not_retried(tmp_path: Path, error: Invalid) -> None:
    """However many attempts are left: a retry would fail as well."""
    _, job, _ = after_running(tmp_path, raising(error), max_attempts=9)
    assert (job.state, job.attempt, job.reason) == (FAILED, 1, error.detail)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("broken"),
        Conflict("broken"),
        SystemExit("broken"),
        GeneratorExit("broken"),
        MemoryError("broken"),
        Interrupted("broken"),
        BaseExceptionGroup("broken", [KeyboardInterrupt()]),
    ],
)
def test_a_body_may_raise_anything(tmp_path: Path, error: BaseException) -> None:
    """The attempt fails, is retried, and the worker continues."""
    _, job, context = after_running(tmp_path, raising(error))
    assert (job.state, job.status) == (SCHEDULED, "retrying")
    assert job.due_at == after(5)
    (line,) = context.lines
    assert line.startswith(f"{type(error).__name__}: broken")


def test_an_error_without_a_text_is_recorded(tmp_path: Path) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    _, job, context = after_running(tmp_path, raising(Mute()))
    assert job.state is SCHEDULED
    assert context.lines == ["Mute: the error has no text"]


def test_error_texts_are_sanitised(tmp_path: Path) -> None:
    assert sanitise_text("a\x00b\ud800c") == "ab?c"
    assert len(sanitise_text("x" * 9999)) == 4000
    _, job, _ = after_running(tmp_path, raising(ValueError("a\x00\ud800")), max_attempts=1)
    assert job.reason == "ValueError: a?"


def test_endless_recursion_fails_the_attempt(tmp_path: Path) -> None:
    def body(context: TaskContext, value: Any) -> Any:
        return body(context, value)

    _, job, _ = after_running(tmp_path, body, max_attempts=1)
    assert job.state is FAILED
    assert job.reason is not None and job.reason.startswith("RecursionError")


def test_an_endlessly_nested_result_fails_the_attempt(tmp_path: Path) -> None:
    def body(_: TaskContext, __: Any) -> Any:
        endless: list[Any] = []
        endless.append(endless)
        return endless

    assert after_running(tmp_path, body)[1].state is FAILED


def test_snoozing_costs_no_attempt(tmp_path: Path) -> None:
    engine, job, _ = after_running(tmp_path, raising(Snooze(90)), max_attempts=1)
    assert (job.state, job.due_at, job.tries, job.max_attempts) == (SCHEDULED, after(90), 0, 1)
    engine.advance(90)
    engine.execution.sweep()
    engine.run(engine.claim()[0])
    assert engine.reload_job(job).state is SCHEDULED


@pytest.mark.parametrize("error", [Throttled(90), Unavailable("away", retry_after=90)])
def test_a_retry_after_of_the_error_is_used(tmp_path: Path, error: BaseException) -> None:
    """It counts as an attempt, unlike snoozing."""
    _, job, context = after_running(tmp_path, raising(error), max_attempts=2)
    assert (job.state, job.due_at, job.max_attempts) == (SCHEDULED, after(90), 2)
    assert len(context.lines) == 1
    assert after_running(tmp_path, raising(error), max_attempts=1)[1].state is FAILED


@pytest.mark.parametrize(
    ("error", "state", "outcome", "tries"),
    [
        (Cancelled(), CANCELLED, Outcome.CANCELLED, 1),
        (TimedOut(), SCHEDULED, Outcome.TIMED_OUT, 1),
        (ShuttingDown(), READY, Outcome.INTERRUPTED, 0),
    ],
)
def test_an_interrupted_body_reports_the_reason(
    tmp_path: Path, error: BaseException, state: JobState, outcome: Outcome, tries: int
) -> None:
    engine, job, _ = after_running(tmp_path, raising(error))
    assert (job.state, job.tries, job.max_attempts) == (state, tries, 3)
    (attempt,) = engine.jobs.attempts(SYSTEM, job.id)
    assert attempt.outcome is outcome


def test_a_lost_claim_writes_nothing(tmp_path: Path) -> None:
    engine, job, context = after_running(tmp_path, raising(OwnershipLost()))
    assert (job.state, context.lines) == (RUNNING, [])
    assert engine.jobs.attempts(SYSTEM, job.id)[0].outcome is None


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("x" * 70_000, "larger than 65536 bytes"),
        (object(), "object cannot be written"),
        (threading.Lock(), "lock cannot be written"),
    ],
)
def test_a_result_that_cannot_be_stored_fails_the_job(
    tmp_path: Path, result: Any, message: str
) -> None:
    """Without a retry, which would end the same way."""
    _, job, _ = after_running(tmp_path, lambda *_: result)
    assert job.state is FAILED
    assert job.reason is not None and message in job.reason


def test_a_job_of_an_unknown_task_is_retried_uncharged(engine: EngineFixture, alice: Actor) -> None:
    """Another worker may know the task: two versions run during an upgrade."""
    job = engine.enqueue(alice)
    (claim,) = engine.claim()
    ignorant = evolve(engine.definitions, tasks=type(engine.tasks)())
    context = RecordingContext(claim, engine.clock)
    settlement = evolve(engine.execution, definitions=ignorant).run(claim, context)
    assert settlement is not None
    assert settlement.error == "This process knows no task 'echo'."
    engine.execution.settle([settlement])
    row = engine.reload_job(job)
    assert row.state is SCHEDULED
    assert (row.tries, row.max_attempts) == (0, job.max_attempts)


def test_parameters_that_no_longer_fit_fail_at_once(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    job = engine.enqueue(engine.add_user(), task_definition="email", parameters={"to": "bob"})
    (claim,) = engine.claim()
    engine.run(evolve(claim, parameters={"to": 5}))
    assert engine.reload_job(job).state is FAILED


@pytest.mark.parametrize(("share", "seconds"), [(0.0, 0), (1.0, 10)])
def test_retries_are_spread_at_random(tmp_path: Path, share: float, seconds: int) -> None:
    engine = make_engine(tmp_path, Task(key="body", body=raising(ValueError())))
    job = engine.enqueue(engine.add_user(), task_definition="body")
    (claim,) = engine.claim()
    context = RecordingContext(claim, engine.clock)
    settlement = evolve(engine.execution, randomness=FixedRandomness(share)).run(claim, context)
    assert settlement is not None
    engine.execution.settle([settlement])
    assert engine.reload_job(job).due_at == after(seconds)


# hooks of other contexts


@frozen
class RecordingHook:
    """A hook that records its calls, and may fail."""

    calls: list[str]
    error: Exception | None = None

    def applies_to(self, settlement: Settlement) -> bool:
        return settlement.schedule_id is not None

    def prepare(
        self, tx: SchedulesTx, settlements: Sequence[Settlement]
    ) -> Callable[[Sequence[Settlement]], None]:
        running = [tx.jobs.get(ALL_OWNERS, each.id).state for each in settlements]
        self.calls.append(f"prepare {running}")

        def react(stored: Sequence[Settlement]) -> None:
            ended = [tx.jobs.get(ALL_OWNERS, each.id).state for each in stored]
            self.calls.append(f"react {ended}")
            if self.error is not None:
                raise self.error

        return react


def test_a_hook_is_called_before_and_after_outcomes_are_stored(
    engine: EngineFixture, alice: Actor
) -> None:
    hook = RecordingHook([])
    execution = evolve(engine.execution, on_settled=[hook])
    job, lost = engine.enqueue(alice), engine.enqueue(alice)
    ours, theirs = engine.claim()
    engine.execution.release([theirs])
    assert execution.settle([_succeeded(engine, ours), _succeeded(engine, theirs)]) == {job.id}
    assert hook.calls == [f"prepare {[RUNNING, READY]}", f"react {[SUCCEEDED]}"]
    assert engine.reload_job(lost).state is READY


@define
class RecordingReporter:
    """Records what was set aside."""

    reports: list[tuple[str, int, str]] = Factory(list[tuple[str, int, str]])

    def report(self, kind: str, row_id: int, reason: str) -> None:
        self.reports.append((kind, row_id, reason))


def test_an_outcome_is_stored_without_a_hook_that_fails(
    engine: EngineFixture, alice: Actor
) -> None:
    """Otherwise the worker would repeat it for ever, and with it the outcomes of other jobs."""
    job, other = engine.enqueue(alice), engine.enqueue(alice)
    reporter = RecordingReporter()
    hook = FailingFor(job.id)
    execution = evolve(engine.execution, on_settled=[hook], reporter=reporter)
    settlements = [_succeeded(engine, claim) for claim in engine.claim()]
    assert execution.settle(settlements) == {job.id, other.id}
    assert [engine.reload_job(each).state for each in (job, other)] == [SUCCEEDED, SUCCEEDED]
    assert hook.reacted == [other.id]
    assert reporter.reports == [("hook", job.id, "ValueError: no")]


@define
class FailingFor:
    """A hook that fails for one job."""

    job_id: int
    reacted: list[int] = Factory(list[int])

    def applies_to(self, _: Settlement) -> bool:
        return True

    def prepare(
        self, _: SchedulesTx, settlements: Sequence[Settlement]
    ) -> Callable[[Sequence[Settlement]], None]:
        if self.job_id in {each.id for each in settlements}:
            raise ValueError("no")
        return lambda accepted: self.reacted.extend(each.id for each in accepted)


def test_a_quarantined_run_counts_as_a_failed_one(
    engine: EngineFixture, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settlement hooks see it: its schedule is paused after five, its delivery is closed."""
    schedule = engine.schedule(alice)
    engine.schedules.run_now(alice, schedule.id)
    (claim,) = engine.claim()
    monkeypatch.setattr(MemoryJobRepository, "renew_leases", raising(ValueError("odd")))
    assert engine.execution.heartbeat([claim], WORKER) == {}
    assert engine.reload(schedule).fail_streak == 1


def test_a_hook_that_fails_for_a_quarantined_job_is_reported(
    engine: EngineFixture, alice: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, reporter = engine.enqueue(alice), RecordingReporter()
    (claim,) = engine.claim()
    execution = evolve(engine.execution, on_settled=[FailingFor(job.id)], reporter=reporter)
    monkeypatch.setattr(MemoryJobRepository, "renew_leases", raising(ValueError("odd")))
    assert execution.heartbeat([claim], WORKER) == {}
    assert [report[:2] for report in reporter.reports] == [("job", job.id), ("hook", job.id)]
    assert engine.reload_job(job).reason == "quarantined: ValueError: odd"


def test_claiming_calls_the_hooks_only_for_outcomes_to_which_they_apply(
    engine: EngineFixture, alice: Actor
) -> None:
    hook = RecordingHook([])
    execution = evolve(engine.execution, on_settled=[hook])
    engine.enqueue(alice)
    engine.schedules.run_now(alice, engine.schedule(alice).id)
    plain_job, run = sorted(engine.claim(), key=lambda claim: claim.schedule_id or 0)
    for claim in (plain_job, run):
        _, accepted = execution.claim(
            "default",
            worker="w",
            limit=1,
            free_threads=1,
            finished=[_succeeded(engine, claim)],
        )
        assert accepted == {claim.id}
    assert hook.calls == [f"prepare {[RUNNING]}", f"react {[SUCCEEDED]}"]


def _succeeded(engine: EngineFixture, claim: Claim) -> Settlement:
    return settle(claim, TaskResult(outcome=Outcome.SUCCEEDED), engine.clock.at, 0.5)


# data for hooks


class _Hook:
    """Stores the data of outcomes in a list; refuses "bad"."""

    def __init__(self) -> None:
        self.stored: list[object] = []

    def applies_to(self, settlement: Settlement) -> bool:
        return settlement.data is not None

    def prepare(
        self, _: object, settlements: Sequence[Settlement]
    ) -> Callable[[Sequence[Settlement]], None]:
        data = [each.data for each in settlements if self.applies_to(each)]
        if "bad" in data:
            raise ValueError("it is bad")
        self.stored += data
        return lambda accepted: None


@pytest.fixture
def hook() -> _Hook:
    return _Hook()


@pytest.fixture
def hooked(engine: EngineFixture, hook: _Hook) -> ExecutionService[Any]:
    """Return the service with a task whose results have data for a hook."""
    engine.tasks.add(
        Task(key="hooked", body=lambda _, given: ResultForHook({"n": 1}, given.get("data")))
    )
    engine.definitions.synchronise()
    return evolve(engine.execution, on_settled=[hook])


def _run_hooked(engine: EngineFixture, *data: str) -> list[Settlement]:
    for each in data:
        engine.enqueue(SYSTEM, task_definition="hooked", parameters={"data": each})
    settlements = [
        engine.execution.run(claim, RecordingContext(claim, engine.clock))
        for claim in engine.claim()
    ]
    return [each for each in settlements if each is not None]


def test_a_hook_gets_the_data_of_a_result_which_is_not_stored_with_the_job(
    engine: EngineFixture, hooked: ExecutionService[Any], hook: _Hook
) -> None:
    settlements = _run_hooked(engine, "a", "b")
    assert len(hooked.settle(settlements)) == 2
    assert hook.stored == ["a", "b"]
    assert [job.result for job in engine.list_jobs()] == [{"n": 1}] * 2


@pytest.mark.parametrize("by_claim", [True, False])
def test_data_that_a_hook_refuses_fail_their_job_and_no_other(
    engine: EngineFixture, hooked: ExecutionService[Any], hook: _Hook, by_claim: bool
) -> None:
    settlements = _run_hooked(engine, "a", "bad", "b")
    if by_claim:
        claims, accepted = hooked.claim(
            "default", worker="w", limit=1, free_threads=1, finished=settlements
        )
        assert claims == []
    else:
        accepted = hooked.settle(settlements)
    assert len(accepted) == 3
    assert hook.stored == ["a", "b"]
    jobs = engine.list_jobs()
    assert [job.state for job in jobs] == [JobState.SUCCEEDED, JobState.FAILED, JobState.SUCCEEDED]
    assert (jobs[1].reason, jobs[1].result) == ("ValueError: it is bad", None)


def test_a_job_whose_outcome_cannot_be_written_is_quarantined(
    engine: EngineFixture, hooked: ExecutionService[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("broken")

    jobs = [engine.enqueue(SYSTEM), engine.enqueue(SYSTEM)]
    first, second = [_succeeded(engine, claim) for claim in engine.claim()]
    monkeypatch.setattr(MemoryJobRepository, "settle", fail)
    monkeypatch.setattr(MemoryJobRepository, "settle_and_claim", fail)
    assert hooked.settle([first]) == set()
    assert hooked.claim("default", worker="w", limit=1, free_threads=1, finished=[second]) == (
        [],
        set(),
    )
    quarantined = [engine.reload_job(job) for job in jobs]
    assert [job.state for job in quarantined] == [FAILED, FAILED]
    assert {job.reason for job in quarantined} == {"quarantined: ValueError: broken"}


def test_an_error_of_the_quarantine_itself_is_raised(
    engine: EngineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then no row is at fault: the turn fails and is repeated."""
    job = engine.enqueue(SYSTEM)
    (claim,) = engine.claim()
    for method in ("settle", "quarantine"):
        monkeypatch.setattr(MemoryJobRepository, method, raising(ValueError("broken")))
    with pytest.raises(ValueError, match="broken"):
        engine.execution.settle([_succeeded(engine, claim)])
    assert engine.reload_job(job).state is RUNNING


def test_a_heartbeat_without_claims_raises_its_error(
    engine: EngineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryWorkerRepository, "heartbeat", raising(ValueError("broken")))
    with pytest.raises(ValueError, match="broken"):
        engine.execution.heartbeat([], WORKER)


def test_an_unavailable_store_is_not_the_fault_of_the_data(
    engine: EngineFixture, hooked: ExecutionService[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Unavailable("down")

    settlements = _run_hooked(engine, "a")
    with monkeypatch.context() as patch:
        patch.setattr(MemoryJobRepository, "settle", fail)
        with pytest.raises(Unavailable):
            hooked.settle(settlements)
        with pytest.raises(Unavailable):
            hooked.claim("default", worker="w", limit=1, free_threads=1, finished=settlements)
    assert len(hooked.settle(settlements)) == 1
