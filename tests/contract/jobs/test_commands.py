"""Commands on a job: cancel, retry, supersede."""

import pytest
from attrs import evolve

from tests.contract.factories import (
    ALICE,
    BOB,
    CANCELLED,
    FAILED,
    HELD,
    NOON,
    READY,
    RUNNING,
    SCHEDULED,
    SKIPPED,
    SUCCEEDED,
    AnyStore,
    ManualClock,
    a_definition,
    a_job,
    after,
    claim,
    ended,
    ids,
    keep,
    move,
    release_held,
    running,
    see,
    stand,
    sweep,
    switch,
    write,
)
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import ENDED, Job, JobId, JobState, Progress

# commands


def test_a_waiting_job_is_cancelled(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition(key="off", is_active=False))
    jobs = keep(store, a_job(), a_job(due_at=after(1)), a_job(task="off"))
    assert stand(store, *jobs) == [READY, SCHEDULED, HELD]
    for job in jobs:
        assert move(store, job, "cancel", now=after(0.5))
    assert stand(store, *jobs) == [CANCELLED] * 3
    assert see(store, jobs[0]).ended_at == after(0.5)
    assert see(store, jobs[0]).reason == "cancelled on request"
    assert claim(store) == []
    assert sweep(store, after(1)) == 0
    with store.begin() as tx:
        assert release_held(tx, after(1)) == 0


@pytest.mark.parametrize("state", ENDED)
def test_an_ended_job_is_not_cancelled(store: AnyStore, state: JobState) -> None:
    (job,) = keep(store, a_job(state=state, ended_at=NOON))
    with pytest.raises(Conflict):
        move(store, job, "cancel")
    assert stand(store, job) == [state]


@pytest.mark.parametrize("state", [FAILED, CANCELLED])
def test_an_operator_retries(store: AnyStore, state: JobState, clock: ManualClock) -> None:
    (job,) = keep(
        store, a_job(state=state, reason="x", ended_at=NOON, attempt=3, token=5, result=[1])
    )
    clock.at = after(7)
    assert move(store, job, "retry", now=after(7))
    row = see(store, job)
    assert (row.state, row.due_at, row.token) == (READY, after(7), 6)
    assert (row.max_attempts, row.attempt, row.cancel_requested) == (4, 3, False)
    assert (row.reason, row.result, row.ended_at) == (None, None, None)
    assert row.queued_at == after(7)
    assert [each.attempt for each in claim(store, now=after(7))] == [4]


@pytest.mark.parametrize("state", [SUCCEEDED, SKIPPED])
def test_neither_a_success_nor_a_skipped_tick_is_retried(store: AnyStore, state: JobState) -> None:
    (job,) = keep(store, a_job(state=state, ended_at=NOON))
    with pytest.raises(Conflict):
        move(store, job, "retry")


def test_a_retry_of_an_inactive_task_waits(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition(is_active=False))
    (job,) = keep(store, a_job(state=FAILED, ended_at=NOON))
    assert move(store, job, "retry")
    assert stand(store, job) == [HELD]


def test_a_changed_row_is_not_replaced(store: AnyStore) -> None:
    """By its state, or by its token alone."""
    (job,) = keep(store, a_job())
    (work,) = claim(store)
    with store.begin() as tx:
        assert not tx.jobs.replace(job, job.cancel(NOON))
    assert stand(store, job) == [RUNNING]
    ran = see(store, job)
    write(store, ended(work, Outcome.SNOOZED, retry_after=0))
    claim(store)
    with store.begin() as tx:
        assert not tx.jobs.replace(ran, ran.cancel(NOON))
        assert not tx.jobs.replace(evolve(ran, id=JobId(999)), ran)
    assert not see(store, job).cancel_requested


def test_a_row_is_replaced_once_and_only_in_the_state_that_was_read(store: AnyStore) -> None:
    (job,) = keep(store, a_job())
    with store.begin() as tx:
        assert tx.jobs.replace(job, job.cancel(NOON))
        assert not tx.jobs.replace(job, job.cancel(after(1)))
    assert see(store, job).ended_at == NOON


def test_a_ready_row_that_is_replaced_keeps_its_turn(store: AnyStore) -> None:
    first, second = keep(store, a_job(), a_job())
    with store.begin() as tx:
        assert tx.jobs.replace(first, evolve(first, max_attempts=9))
    assert see(store, first) == evolve(first, max_attempts=9)
    assert ids(claim(store)) == [first.id, second.id]


def test_replacing_writes_what_commands_change_and_nothing_else(store: AnyStore) -> None:
    (job,) = keep(store, a_job(due_at=after(10)))
    changed = evolve(
        job,
        due_at=after(20),
        max_attempts=8,
        cancel_requested=True,
        reason="why",
        result={"r": 1},
        progress=Progress(1, 2, "n"),
        task="another",
        owner=BOB,
        parameters={"other": 1},
        name="other",
        attempt=9,
    )
    with store.begin() as tx:
        assert tx.jobs.replace(job, changed)
    assert see(store, job) == evolve(
        job,
        due_at=after(20),
        max_attempts=8,
        cancel_requested=True,
        reason="why",
        result={"r": 1},
        progress=Progress(1, 2, "n"),
    )


def test_a_later_time_makes_a_ready_job_scheduled_again(store: AnyStore) -> None:
    (job,) = keep(store, a_job())
    with store.begin() as tx:
        assert tx.jobs.replace(job, evolve(job, state=SCHEDULED, due_at=after(5)))
    assert stand(store, job) == [SCHEDULED]
    assert claim(store) == []
    assert sweep(store, after(5)) == 1


def test_an_earlier_time_makes_a_scheduled_job_ready(store: AnyStore, clock: ManualClock) -> None:
    (job,) = keep(store, a_job(due_at=after(60)))
    clock.at = after(1)
    with store.begin() as tx:
        assert tx.jobs.replace(job, evolve(job, due_at=after(1)))
    assert stand(store, job) == [READY]


def test_a_held_tick_is_superseded(store: AnyStore) -> None:
    _, held = keep(store, *[a_job(concurrency_key="l")] * 2)
    assert move(store, held, "supersede", now=after(1))
    row = see(store, held)
    assert (row.state, row.reason, row.ended_at) == (SKIPPED, "superseded", after(1))


def test_hidden_jobs_are_not_found(store: AnyStore) -> None:
    (job,) = keep(store, a_job(state=SUCCEEDED, ended_at=NOON))
    with store.begin() as tx:
        assert tx.jobs.replace(job, evolve(job, hidden=True))
    with store.begin() as tx:
        with pytest.raises(NotFound):
            tx.jobs.get(ALL_OWNERS, job.id)
        with pytest.raises(NotFound):
            tx.jobs.get_for_update(ALL_OWNERS, job.id)


def test_jobs_are_found_within_the_scope_only(store: AnyStore) -> None:
    mine, theirs, nobodys = keep(store, a_job(), a_job(owner=BOB), a_job(owner=SYSTEM_ID))
    scope = Scope(owner=ALICE)
    with store.begin() as tx:
        assert tx.jobs.get(scope, mine.id) == tx.jobs.get_for_update(scope, mine.id) == mine
        for other in (theirs.id, nobodys.id, JobId(999)):
            with pytest.raises(NotFound):
                tx.jobs.get(scope, other)
            with pytest.raises(NotFound):
                tx.jobs.get_for_update(scope, other)
        assert tx.jobs.get(ALL_OWNERS, nobodys.id) == nobodys


def test_a_rerun_is_a_new_job(store: AnyStore) -> None:
    (work,) = running(store, a_job(schedule_id=1, tick=NOON, idempotency_key="k"))
    write(store, ended(work))
    (again,) = keep(store, see(store, work).rerun(after(1)), now=after(1))
    assert (again.rerun_of, again.tick, again.for_tick) == (work.id, None, NOON)
    assert again.state is READY


# activating and deactivating a task


def test_deactivating_holds_ready_rows_and_activating_readies_them(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition())
    (busy,) = running(store, a_job())
    ready, later, other = keep(store, a_job(), a_job(due_at=after(1)), a_job(task="other"))
    assert switch(store, "echo", on=False) == 1
    assert stand(store, busy.id, ready, later, other) == [RUNNING, HELD, SCHEDULED, READY]
    assert ids(claim(store)) == [other.id]
    with store.begin() as tx:
        assert release_held(tx, NOON) == 0
    assert switch(store, "echo", on=True) == 1
    assert ids(claim(store)) == [ready.id]


# the query of a service


def test_waiting_jobs_of_an_owner_are_counted(store: AnyStore) -> None:
    running(store, a_job())
    keep(store, a_job(), a_job(due_at=after(1)), a_job(owner=BOB))
    keep(
        store,
        a_job(state=SUCCEEDED, ended_at=NOON),
        a_job(concurrency_key="l"),
        a_job(concurrency_key="l"),
    )
    with store.view() as tx:
        assert tx.jobs.count_waiting(ALICE, limit=99) == 4
        assert tx.jobs.count_waiting(ALICE, limit=3) == 3
        assert tx.jobs.count_waiting(SYSTEM_ID, limit=3) == 0


def test_unfinished_jobs_are_listed_by_schedule(store: AnyStore) -> None:
    (busy,) = running(store, a_job(schedule_id=1))
    later, _, other = keep(
        store,
        a_job(schedule_id=1, due_at=after(1)),
        a_job(schedule_id=1, state=FAILED, ended_at=NOON),
        a_job(schedule_id=2),
    )
    keep(store, a_job(schedule_id=3), a_job())
    with store.view() as tx:
        found = tx.jobs.unfinished([1, 2, 4])
        assert tx.jobs.unfinished([]) == {}
    assert ids(found[1]) == [busy.id, later.id]
    assert ids(found[2]) == [other.id]
    assert not found.get(4)
    assert 3 not in found


def test_a_job_without_attempts_has_none(store: AnyStore) -> None:
    (job,) = keep(store, a_job())
    with store.view() as tx:
        assert list(tx.jobs.attempts(job.id)) == []
        assert list(tx.jobs.attempts(JobId(999))) == []


def test_ids_rise_and_are_never_used_again(store: AnyStore) -> None:
    def last() -> Job:
        return keep(store, a_job(state=SUCCEEDED, ended_at=NOON))[0]

    first = last()
    with store.begin() as tx:
        tx.jobs.prune([SUCCEEDED], after(9), limit=9)
    assert last().id > first.id
