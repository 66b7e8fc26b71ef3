"""Jobs: enqueueing, idempotency, limits, cancellation and queues."""

from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, cast

import pytest
from attrs import evolve, frozen

from tests.contract.factories import ALICE, BOB, NOON, ManualClock, after
from tests.services.engine import Email, EngineFixture, make_engine
from workbell.adapters.memory.store import MemoryStore, MemoryTx
from workbell.domain.errors import Conflict, Invalid, LimitReached, NotAllowed, NotFound
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import Tier, UserId
from workbell.domain.jobs.attempt import LogLine, Outcome
from workbell.domain.jobs.job import ClaimMode, JobId, JobOrigin, JobState, Status
from workbell.domain.jobs.task import OnLost, Task
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.jobs.views import JobFilter
from workbell.services.jobs.capacity import WaitingCapacity
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.unit

NOWHERE = JobId(99)
CANCELLED, FAILED, READY, RUNNING, SCHEDULED, SUCCEEDED = (
    JobState.CANCELLED,
    JobState.FAILED,
    JobState.READY,
    JobState.RUNNING,
    JobState.SCHEDULED,
    JobState.SUCCEEDED,
)


# enqueueing


def test_a_job_without_a_time_is_due_at_once(engine: EngineFixture, alice: Actor) -> None:
    job, new = engine.jobs.create(alice, NewJob(name="mine", parameters={"a": 1}))
    assert new
    assert (job.state, job.due_at, job.owner) == (READY, NOON, alice.user_id)
    assert (job.name, job.task, job.parameters) == ("mine", "echo", {"a": 1})
    assert (job.origin, job.max_attempts, job.queue) == (JobOrigin.API, 3, "default")
    assert engine.actions() == ["CREATE job"]


def test_a_job_waits_for_its_time(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice, scheduled_time=after(60))
    assert (job.state, job.due_at) == (SCHEDULED, after(60))
    assert engine.enqueue(alice, scheduled_time=NOON).state is READY


def test_a_task_may_delay_its_jobs(tmp_path: Path) -> None:
    """By its parameters; no worker sleeps for it."""
    late = Task(
        key="late",
        body=lambda *_: None,
        parameters=Email,
        delay=lambda message: 10 * message.copies,
    )
    engine = make_engine(tmp_path, late)
    parameters = {"to": "bob", "copies": 3}
    job = engine.enqueue(engine.add_user(), task_definition="late", parameters=parameters)
    assert (job.state, job.due_at) == (SCHEDULED, after(30))


def test_a_job_takes_the_tasks_defaults_unless_asked_otherwise(tmp_path: Path) -> None:
    once = Task(key="once", body=lambda *_: None, queue="slow", on_lost=OnLost.FAIL, max_attempts=7)
    engine = make_engine(tmp_path, once)
    alice = engine.add_user(tier=Tier.PREMIUM)
    job = engine.enqueue(alice, task_definition="once")
    assert (job.queue, job.max_attempts, job.timeout_seconds) == ("slow", 7, 300)
    assert (job.mode, job.fail_when_lost, job.weight) == (ClaimMode.EXCLUSIVE, True, 4.0)
    explicit = engine.enqueue(
        alice, task_definition="once", queue="default", max_attempts=1, timeout_seconds=9
    )
    assert (explicit.queue, explicit.max_attempts, explicit.timeout_seconds) == ("default", 1, 9)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"task_definition": "fax"}, "task_definition"),
        ({"task_definition": "email"}, "parameters.to"),
        ({"scheduled_time": after(-1)}, "scheduled_time"),
        ({"queue": "nowhere"}, "queue"),
        ({"priority": 1}, "priority"),
    ],
)
def test_a_wrong_field_is_named(
    engine: EngineFixture, alice: Actor, fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        engine.enqueue(alice, **fields)
    assert list(refusal.value.field_errors) == [path]
    assert engine.list_jobs() == []


def test_a_task_missing_from_the_code_cannot_be_enqueued(
    engine: EngineFixture, alice: Actor
) -> None:
    ignorant = evolve(engine.definitions, tasks=type(engine.tasks)())
    with pytest.raises(Invalid, match="The code has no task 'echo'"):
        evolve(engine.jobs, definitions=ignorant).create(alice, NewJob())


def test_higher_priorities_are_claimed_first(
    engine: EngineFixture, alice: Actor, root: Actor
) -> None:
    low, plain, high = (
        engine.enqueue(alice, priority=-5), engine.enqueue(alice), engine.enqueue(root, priority=5),
    )  # fmt: skip
    assert [claim.id for claim in engine.claim()] == [high.id, plain.id, low.id]


def test_the_library_enqueues_for_another_owner(engine: EngineFixture, alice: Actor) -> None:
    """The system leaves no audit entry."""
    job, _ = engine.jobs.create(SYSTEM, NewJob(), owner=alice.user_id, origin=JobOrigin.LIBRARY)
    assert (job.owner, job.origin) == (alice.user_id, JobOrigin.LIBRARY)
    assert engine.actions() == []


# idempotency


def test_the_same_key_and_request_return_the_first_job(engine: EngineFixture, alice: Actor) -> None:
    """Even after its scheduled time, and at the limit of waiting jobs."""
    new = NewJob(name="mine", scheduled_time=after(60))
    tight = evolve(engine.jobs, max_waiting=1)
    first, is_new = tight.create(alice, new, idempotency_key="k")
    engine.advance(120)
    again, is_new_again = tight.create(alice, new, idempotency_key="k")
    assert (is_new, is_new_again) == (True, False)
    assert again.id == first.id
    assert len(engine.list_jobs()) == 1
    assert engine.actions() == ["CREATE job"]


def test_the_same_key_for_another_request_is_a_conflict(
    engine: EngineFixture, alice: Actor
) -> None:
    engine.jobs.create(alice, NewJob(), idempotency_key="k")
    with pytest.raises(Conflict, match="another request"):
        engine.jobs.create(alice, NewJob(name="other"), idempotency_key="k")


def test_keys_of_different_owners_are_independent(engine: EngineFixture, alice: Actor) -> None:
    engine.jobs.create(alice, NewJob(), idempotency_key="k")
    assert engine.jobs.create(engine.add_user("bob"), NewJob(name="x"), idempotency_key="k")[1]


@pytest.mark.parametrize("key", ["", "k" * 256, "a\nb", "a\x00"])
def test_a_key_is_printable_and_at_most_255_long(
    engine: EngineFixture, alice: Actor, key: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        engine.jobs.create(alice, NewJob(), idempotency_key=key)
    assert list(refusal.value.field_errors) == ["Idempotency-Key"]
    assert engine.jobs.create(alice, NewJob(), idempotency_key="k" * 255)[1]


@pytest.mark.parametrize("same", [True, False])
def test_of_two_concurrent_requests_one_creates_the_job(tmp_path: Path, same: bool) -> None:
    """The second insert is refused; the first job is returned if it exists."""
    inner = NewJob(task_definition="racing", parameters={"first": True})

    def race(actor: Actor, value: Any) -> None:
        if not raced:
            raced.append(True)
            engine.jobs.create(actor, inner, idempotency_key="k")

    raced: list[bool] = []
    engine = make_engine(tmp_path, Task(key="racing", body=lambda *_: None, check=race))
    alice = engine.add_user()
    if same:
        job, new = engine.jobs.create(alice, inner, idempotency_key="k")
        assert (job.parameters, new) == ({"first": True}, False)
    else:
        with pytest.raises(Conflict):
            engine.jobs.create(alice, evolve(inner, name="other"), idempotency_key="k")
    assert len(engine.list_jobs()) == 1


@frozen
class OldSnapshot:
    """A store whose reads see an older snapshot than its transactions."""

    live: MemoryStore
    old: MemoryStore

    def begin(self, *, single_statement: bool = False) -> AbstractContextManager[MemoryTx]:
        return self.live.begin(single_statement=single_statement)

    def view(self) -> AbstractContextManager[MemoryTx]:
        return self.old.view()


def test_a_request_that_cannot_see_the_first_job_yet_gets_a_conflict(
    engine: EngineFixture, alice: Actor
) -> None:
    """A caller's connection may have an older snapshot than the other commit."""
    engine.jobs.create(alice, NewJob(), idempotency_key="k")
    blind = evolve(engine.jobs, store=OldSnapshot(engine.store, MemoryStore(engine.clock)))
    with pytest.raises(Conflict, match="another request at the same time"):
        blind.create(alice, NewJob(), idempotency_key="k")


# limits


def test_the_number_of_an_owners_waiting_jobs_is_limited(tmp_path: Path) -> None:
    engine = make_engine(tmp_path, max_waiting=3)
    alice = engine.add_user()
    engine.jobs.create_many(alice, [NewJob()] * 2)
    with pytest.raises(LimitReached, match="2 of 3"):
        engine.jobs.create_many(alice, [NewJob()] * 2)
    engine.enqueue(alice)
    with pytest.raises(LimitReached, match="3 of 3"):
        engine.enqueue(alice)
    engine.claim()
    assert engine.enqueue(alice).state is READY
    assert len(engine.jobs.create_many(SYSTEM, [NewJob()] * 9)) == 9


def test_many_jobs_are_enqueued_in_batches(engine: EngineFixture) -> None:
    many = engine.jobs.create_many(SYSTEM, [NewJob()] * 1100, owner=UserId(7))
    assert len({job.id for job in many}) == 1100
    assert {job.owner for job in many} == {7}
    assert {job.origin for job in many} == {JobOrigin.LIBRARY}
    assert engine.jobs.create_many(SYSTEM, []) == []


def test_one_wrong_job_among_many_refuses_all(engine: EngineFixture) -> None:
    with pytest.raises(Invalid):
        engine.jobs.create_many(SYSTEM, [NewJob(), NewJob(queue="nowhere")])
    assert engine.list_jobs() == []


# reading


def test_users_see_their_own_and_superusers_all(
    engine: EngineFixture, alice: Actor, root: Actor
) -> None:
    his = engine.enqueue(engine.add_user("bob"))
    hers = engine.enqueue(alice)
    assert engine.jobs.find(alice, JobFilter(), ("-id",), 0, 20) == [hers]
    pages = [engine.jobs.list_page(actor, JobFilter(), ("-id",), 0, 20) for actor in (alice, root)]
    assert [(page.jobs, page.count) for page in pages] == [([hers], 1), ([hers, his], 2)]
    assert engine.jobs.get(root, his.id) == his
    commands: list[Any] = [
        engine.jobs.get, engine.jobs.cancel, engine.jobs.retry, engine.jobs.remove, engine.jobs.result,
        engine.jobs.attempts, engine.jobs.artifacts,
    ]  # fmt: skip
    for command in commands:
        with pytest.raises(NotFound):
            command(alice, his.id)
    with pytest.raises(NotFound):
        engine.jobs.logs(alice, his.id, attempt=None, after=0, limit=9)


def test_a_result_is_available_once_the_job_has_ended(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice)
    with pytest.raises(Invalid, match="not ended yet"):
        engine.jobs.result(alice, job.id)
    (claim,) = engine.claim()
    engine.settle(claim, result={"a": 1})
    assert engine.jobs.result(alice, job.id).result == {"a": 1}


def test_attempts_include_the_running_one(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice)
    assert engine.jobs.attempts(alice, job.id) == []
    (claim,) = engine.claim()
    engine.settle(claim, Outcome.SNOOZED, error="no", retry_after=0)
    engine.claim()
    first, second = engine.jobs.attempts(alice, job.id)
    assert (first.number, first.outcome, first.error) == (1, Outcome.SNOOZED, "no")
    assert (second.number, second.outcome, second.ended_at) == (2, None, None)
    assert (second.started_at, second.worker) == (NOON, "w")


def test_logs_and_files_belong_to_the_job(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice)
    (claim,) = engine.claim()
    engine.execution.record_progress(
        [], {job.id: [LogLine(1, n, NOON, "info", f"line {n}") for n in (1, 2)]}
    )
    engine.execution.store_artifact(claim, "report.csv", "text/csv", b"a,b\n")
    (line,) = engine.jobs.logs(alice, job.id, attempt=1, after=1, limit=9)
    assert line.text == "line 2"
    (listed,) = engine.jobs.artifacts(alice, job.id)
    artifact, content = engine.jobs.artifact(alice, job.id, "report.csv")
    assert (artifact, b"".join(content)) == (listed, b"a,b\n")
    assert (artifact.size, artifact.media_type) == (4, "text/csv")
    with pytest.raises(NotFound, match="no file 'other'"):
        engine.jobs.artifact(alice, job.id, "other")


def test_jobs_are_counted(engine: EngineFixture, alice: Actor) -> None:
    engine.enqueue(alice)
    engine.schedule(alice)
    stats = engine.jobs.stats(alice)
    assert (stats.by_status, stats.schedules_active) == ({"pending": 1}, 1)


# cancelling, retrying, removing


def test_a_waiting_job_is_cancelled_at_once(engine: EngineFixture, alice: Actor) -> None:
    job = engine.jobs.cancel(alice, engine.enqueue(alice).id)
    assert (job.state, job.reason) == (CANCELLED, "cancelled on request")
    with pytest.raises(Conflict, match="already been cancelled"):
        engine.jobs.cancel(alice, job.id)
    assert engine.actions() == ["CREATE job", "CANCEL job"]


def test_a_running_job_is_requested_to_stop(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice)
    (claim,) = engine.claim()
    assert engine.jobs.cancel(alice, job.id).cancel_requested
    engine.settle(claim, Outcome.FAILED)
    assert engine.reload_job(job).state is CANCELLED


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
def test_a_failed_or_cancelled_job_is_retried(
    engine: EngineFixture, alice: Actor, outcome: Outcome
) -> None:
    job = engine.enqueue(alice, max_attempts=1)
    (claim,) = engine.claim()
    engine.settle(claim, outcome, error="no")
    retried, new = engine.jobs.retry(alice, job.id)
    assert (retried.id, new, retried.state) == (job.id, False, READY)
    assert (retried.status, retried.max_attempts) == (Status.RETRYING, 2)
    assert engine.actions()[-1] == "RETRY job"


def test_a_succeeded_job_is_rerun_as_a_new_job(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice, parameters={"a": 1})
    (claim,) = engine.claim()
    engine.settle(claim)
    again, new = engine.jobs.retry(alice, job.id)
    assert (new, again.rerun_of, again.parameters) == (True, job.id, {"a": 1})
    assert again.state is READY
    assert engine.reload_job(job).state is SUCCEEDED
    assert engine.actions()[-1] == "RERUN job"


def test_an_unfinished_job_cannot_be_retried(engine: EngineFixture, alice: Actor) -> None:
    with pytest.raises(Conflict, match="pending cannot be retried"):
        engine.jobs.retry(alice, engine.enqueue(alice).id)


def test_removing_cancels_unfinished_jobs_and_hides_ended_ones(
    engine: EngineFixture, alice: Actor
) -> None:
    job = engine.enqueue(alice)
    engine.jobs.remove(alice, job.id)
    assert engine.reload_job(job).state is CANCELLED
    engine.jobs.remove(alice, job.id)
    with pytest.raises(NotFound):
        engine.jobs.remove(alice, job.id)


def test_a_concurrent_change_of_a_job_is_not_overwritten(
    engine: EngineFixture, alice: Actor
) -> None:
    before = engine.enqueue(alice)
    engine.claim()
    with engine.store.begin() as tx, pytest.raises(Conflict, match="read it again"):
        engine.jobs._replace(tx, before, before.cancel(NOON))
    assert engine.reload_job(before).state is RUNNING


# queues and workers


def test_every_known_queue_is_listed(engine: EngineFixture, alice: Actor) -> None:
    engine.enqueue(alice)
    default, slow = engine.jobs.queues()
    assert (default.name, default.state, default.ready) == ("default", "running", 1)
    assert (slow.name, slow.state, slow.ready) == ("slow", "running", 0)


def test_a_paused_queue_is_not_claimed_from(
    engine: EngineFixture, alice: Actor, root: Actor
) -> None:
    engine.enqueue(alice)
    assert engine.jobs.switch_queue(root, "default", "paused").state == "paused"
    assert engine.claim() == []
    engine.jobs.switch_queue(root, "default", "running")
    assert len(engine.claim()) == 1
    assert engine.actions()[1:] == ["UPDATE queue"] * 2


def test_a_queue_is_draining_until_no_job_runs(
    engine: EngineFixture, alice: Actor, root: Actor
) -> None:
    engine.enqueue(alice)
    (claim,) = engine.claim()
    engine.enqueue(alice)
    assert engine.jobs.switch_queue(root, "default", "draining").state == "draining"
    assert engine.claim() == []
    engine.settle(claim)
    engine.execution.sweep()
    assert engine.jobs.queues()[0].state == "paused"
    assert engine.jobs.switch_queue(root, "slow", "draining").state == "paused"


def test_only_superusers_switch_existing_queues(
    engine: EngineFixture, alice: Actor, root: Actor
) -> None:
    with pytest.raises(NotAllowed):
        engine.jobs.switch_queue(alice, "default", "paused")
    with pytest.raises(NotFound, match="'nowhere'"):
        engine.jobs.switch_queue(root, "nowhere", "paused")


def test_workers_are_listed_until_they_stop(engine: EngineFixture) -> None:
    worker = WorkerInfo(
        id="w", host="h", pid=1, started_at=NOON, seen_at=NOON, threads=2, running=0,
        queues=["default"],
    )  # fmt: skip
    assert engine.execution.heartbeat([], worker) == {}
    assert engine.jobs.workers(SYSTEM) == [worker]
    engine.execution.unregister_worker("w")
    assert engine.jobs.workers(SYSTEM) == []


class CountingStore:
    """A store that counts how often waiting jobs were counted."""

    def __init__(self, waiting: int) -> None:
        self.waiting, self.counts = waiting, 0
        self.jobs = self

    def view(self) -> "CountingStore":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def count_waiting(self, owner: UserId, *, limit: int) -> int:
        self.counts += 1
        return self.waiting


def test_waiting_jobs_are_not_counted_for_every_request() -> None:
    """Half of the rest may be used within a second; near the limit every request counts."""
    store, clock = CountingStore(waiting=90), ManualClock()
    capacity = WaitingCapacity(cast("Any", store), clock, 100)
    for _ in range(5):  # the first one counts and leaves 4 more
        capacity.check(ALICE, 1)
    assert store.counts == 1
    capacity.check(ALICE, 1)
    assert store.counts == 2
    capacity.check(BOB, 1)
    assert store.counts == 3
    clock.at += timedelta(seconds=1)
    capacity.check(ALICE, 1)
    assert store.counts == 4
    store.waiting = 100
    clock.at += timedelta(seconds=1)
    for count in (5, 6):
        with pytest.raises(LimitReached):
            capacity.check(ALICE, 1)
        assert store.counts == count
