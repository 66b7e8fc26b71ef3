"""Outcomes: acceptance by token, and the effects on the job."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from attrs import evolve

from tests.contract.factories import (
    CANCELLED,
    FAILED,
    HELD,
    NOON,
    READY,
    RUNNING,
    SCHEDULED,
    SUCCEEDED,
    AnyStore,
    a_definition,
    a_job,
    after,
    claim,
    ended,
    ids,
    keep,
    move,
    reap_all,
    running,
    see,
    stand,
    sweep,
    switch,
    write,
)
from workbell.domain.jobs.attempt import Attempt, Outcome, reap
from workbell.domain.jobs.job import ClaimMode, JobId
from workbell.domain.jobs.task import Isolation

# running -> an end, or once more


def test_a_success_is_written_with_its_attempt(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    assert write(store, ended(work, now=after(2), result={"n": 1})) == {work.id}
    row = see(store, work)
    assert (row.state, row.result, row.ended_at) == (SUCCEEDED, {"n": 1}, after(2))
    assert (row.lease_until, row.attempt, row.token) == (None, 1, work.token)
    with store.view() as tx:
        (attempt,) = tx.jobs.attempts(work.id)
    assert (attempt.job_id, attempt.number, attempt.outcome) == (work.id, 1, Outcome.SUCCEEDED)
    assert (attempt.queued_at, attempt.started_at, attempt.ended_at) == (NOON, NOON, after(2))
    assert (attempt.error, attempt.worker) == (None, "worker")


TRACEBACK = "Traceback:\n" + "  😀 'quoted' \\ line\n" * 600 + "ValueError: ü\n"


def attempt_of(store: AnyStore, job_id: JobId) -> Attempt:
    with store.view() as tx:
        (attempt,) = tx.jobs.attempts(job_id)
    return attempt


def test_a_traceback_is_stored_with_its_attempt(store: AnyStore) -> None:
    first, second = running(store, a_job(), a_job())
    failed = ended(first, Outcome.FAILED, error="ValueError: ü", traceback=TRACEBACK)
    write(store, failed, ended(second))
    assert attempt_of(store, first.id).traceback == TRACEBACK
    assert attempt_of(store, first.id).error == "ValueError: ü"
    assert attempt_of(store, second.id).traceback is None


def test_a_traceback_is_stored_by_the_statement_that_claims(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    failed = ended(work, Outcome.FAILED, now=after(1), error="bad", traceback=TRACEBACK)
    with store.begin(single_statement=True) as tx:
        _, accepted = tx.jobs.settle_and_claim(
            [failed], "default", worker="worker", now=after(1), lease_until=after(31),
            limit=1, free_threads=1,
        )  # fmt: skip
    assert accepted == {work.id}
    assert attempt_of(store, work.id).traceback == TRACEBACK


def test_a_lost_attempt_has_no_traceback(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    assert reap_all(store, after(60)) == {work.id}
    assert attempt_of(store, work.id).traceback is None


def test_the_timings_of_an_attempt_are_its_own(store: AnyStore) -> None:
    keep(store, a_job())
    (work,) = claim(store, now=after(4))
    write(store, ended(work, now=after(6.5)))
    attempt = attempt_of(store, work.id)
    assert attempt.queue_wait == timedelta(seconds=4)
    assert attempt.duration == timedelta(seconds=2.5)


def test_a_failed_job_is_retried_until_its_attempts_are_used_up(store: AnyStore) -> None:
    (job,) = keep(store, a_job(max_attempts=2))
    (work,) = claim(store)
    write(store, ended(work, Outcome.FAILED, now=after(1), error="Ouch: ü", retry_after=4))
    row = see(store, job)
    assert (row.state, row.due_at, row.ended_at) == (SCHEDULED, after(5), None)
    assert (row.lease_until, row.attempt, row.max_attempts) == (None, 1, 2)
    assert row.reason == "Ouch: ü"
    assert sweep(store, after(4)) == 0
    assert sweep(store, after(5)) == 1
    (work,) = claim(store, now=after(6))
    assert work.attempt == 2
    write(store, ended(work, Outcome.FAILED, now=after(7), error="Ouch again"))
    row = see(store, job)
    assert (row.state, row.reason, row.ended_at) == (FAILED, "Ouch again", after(7))
    with store.view() as tx:
        first, second = tx.jobs.attempts(job.id)
    assert (first.number, first.error, first.queued_at) == (1, "Ouch: ü", NOON)
    assert (second.number, second.error, second.queued_at) == (2, "Ouch again", after(5))


def test_a_permanent_failure_is_not_retried(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    write(store, ended(work, Outcome.FAILED, error="bad", permanent=True))
    assert stand(store, work.id) == [FAILED]


def test_a_snooze_does_not_use_up_an_attempt(store: AnyStore) -> None:
    (work,) = running(store, a_job(max_attempts=1))
    write(store, ended(work, Outcome.SNOOZED, retry_after=10))
    row = see(store, work)
    assert (row.state, row.due_at, row.attempt, row.uncharged) == (SCHEDULED, after(10), 1, 1)
    assert (row.tries, row.max_attempts) == (0, 1)


def test_a_retry_that_is_due_already_is_ready_at_once(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    write(store, ended(work, Outcome.SNOOZED, now=after(1), retry_after=0))
    row = see(store, work)
    assert (row.state, row.due_at, row.queued_at) == (READY, after(1), after(1))
    (again,) = claim(store, now=after(1))
    assert (again.attempt, again.token) == (2, work.token + 1)


def test_a_retry_of_an_inactive_task_is_held(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition())
    (work,) = running(store, a_job())
    switch(store, "echo", on=False)
    assert stand(store, work.id) == [RUNNING]
    write(store, ended(work, Outcome.SNOOZED, retry_after=0))
    assert stand(store, work.id) == [HELD]


def test_a_stale_token_is_refused(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    reap_all(store, after(31))
    sweep(store, after(40))
    (fresh,) = claim(store, now=after(40))
    assert fresh.token > work.token
    assert write(store, ended(work, result="stale")) == set()
    assert write(store, evolve(ended(work), token=fresh.token + 1)) == set()
    assert stand(store, work.id) == [RUNNING]
    assert write(store, ended(fresh, now=after(41), result="fresh")) == {fresh.id}
    assert see(store, work).result == "fresh"
    with store.view() as tx:
        outcomes = [attempt.outcome for attempt in tx.jobs.attempts(work.id)]
    assert outcomes == [Outcome.LOST, Outcome.SUCCEEDED]


def test_an_outcome_counts_once(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    assert write(store, ended(work, result=1)) == {work.id}
    assert write(store, ended(work, Outcome.FAILED)) == set()
    assert write(store, ended(work, result=2)) == set()
    assert see(store, work).result == 1
    with store.view() as tx:
        assert len(tx.jobs.attempts(work.id)) == 1


def test_outcomes_are_accepted_one_by_one(store: AnyStore) -> None:
    one, two, three = running(store, a_job(), a_job(), a_job())
    stale = evolve(ended(two), token=two.token - 1)
    unknown = evolve(ended(two), id=JobId(12345))
    assert write(store, ended(three), stale, unknown, ended(one, Outcome.FAILED)) == {
        one.id,
        three.id,
    }
    assert stand(store, one.id, two.id, three.id) == [SCHEDULED, RUNNING, SUCCEEDED]
    assert write(store) == set()


def test_one_of_many_threads_with_one_token_is_accepted(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(lambda n: write(store, ended(work, result=n)), range(16)))
    assert sum(len(each) for each in accepted) == 1
    assert see(store, work).result == accepted.index({work.id})


def test_a_retry_becomes_cancelled_if_that_was_requested(store: AnyStore) -> None:
    """The worker did not know of it yet; a success stays a success."""
    one, two, three = running(store, a_job(), a_job(), a_job())
    for each in (one, two, three):
        assert move(store, each, "cancel")
    write(
        store,
        ended(one, Outcome.FAILED, now=after(1), error="Ouch"),
        ended(two, Outcome.SNOOZED, now=after(1), retry_after=0),
        ended(three, now=after(1), result=3),
    )
    assert stand(store, one.id, two.id, three.id) == [CANCELLED, CANCELLED, SUCCEEDED]
    assert see(store, one).ended_at == after(1)
    with store.view() as tx:
        assert [each.outcome for each in tx.jobs.attempts(one.id)] == [Outcome.FAILED]


# leases that run out


def test_running_rows_expire_oldest_first(store: AnyStore) -> None:
    keep(store, a_job(), a_job())
    (second,) = claim(store, limit=1, lease=20)
    (first,) = claim(store, limit=1, lease=10)
    with store.view() as tx:
        assert tx.jobs.expired(after(10)) == []
        assert ids(tx.jobs.expired(after(10.000001))) == [first.id]
        assert ids(tx.jobs.expired(after(21))) == [first.id, second.id]
        assert ids(tx.jobs.expired(after(21), limit=1)) == [first.id]
        assert next(iter(tx.jobs.expired(after(21)))) == first


def test_a_lost_job_is_retried_after_a_second(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    assert reap_all(store, after(31)) == {work.id}
    row = see(store, work)
    assert (row.state, row.due_at, row.lease_until) == (SCHEDULED, after(32), None)
    with store.view() as tx:
        (attempt,) = tx.jobs.attempts(work.id)
    assert (attempt.outcome, attempt.error) == (Outcome.LOST, "the worker was lost")


def test_a_job_with_a_renewed_lease_is_not_reaped(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    with store.view() as tx:
        (lost,) = tx.jobs.expired(after(31))
    with store.begin() as tx:
        tx.jobs.renew_leases([(work.id, work.token)], after(60))
    assert write(store, reap(lost, after(31))) == set()
    assert stand(store, work.id) == [RUNNING]


def test_a_lease_that_ends_now_is_still_valid(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    assert write(store, reap(work, after(30))) == set()
    assert write(store, reap(work, after(30.000001))) == {work.id}


def test_one_of_two_reapers_is_accepted(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    with ThreadPoolExecutor(4) as pool:
        accepted = list(pool.map(lambda _: write(store, reap(work, after(31))), range(4)))
    assert sum(map(len, accepted)) == 1


def test_a_lost_row_fails_when_its_attempts_are_used_up(store: AnyStore) -> None:
    (work,) = running(store, a_job(max_attempts=1))
    reap_all(store, after(31))
    row = see(store, work)
    assert (row.state, row.reason, row.ended_at) == (FAILED, "the worker was lost", after(31))


def test_a_lost_row_that_may_run_once_fails(store: AnyStore) -> None:
    (work,) = running(store, a_job(mode=ClaimMode.EXCLUSIVE, fail_when_lost=True))
    reap_all(store, after(31))
    assert stand(store, work.id) == [FAILED]


def test_a_lost_job_is_cancelled_if_that_was_requested(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    move(store, work, "cancel")
    with store.view() as tx:
        assert [each.cancel_requested for each in tx.jobs.expired(after(31))] == [True]
    reap_all(store, after(31))
    assert stand(store, work.id) == [CANCELLED]


def test_a_row_that_is_out_of_time_is_closed_as_timeout(store: AnyStore) -> None:
    (work,) = running(store, a_job(timeout_seconds=10))
    reap_all(store, after(31))
    with store.view() as tx:
        assert [each.outcome for each in tx.jobs.attempts(work.id)] == [Outcome.TIMED_OUT]


def test_a_row_lost_from_a_batch_gets_one_attempt_more_and_runs_alone(store: AnyStore) -> None:
    first, second = running(store, *[a_job(mode=ClaimMode.BATCH, max_attempts=1)] * 2)
    reap_all(store, after(31))
    row = see(store, first)
    assert (row.state, row.mode, row.uncharged) == (SCHEDULED, ClaimMode.EXCLUSIVE, 1)
    assert row.max_attempts == 1
    sweep(store, after(32))
    assert len(claim(store, now=after(32))) == 1
    reap_all(store, after(99))
    assert sorted(stand(store, first.id, second.id)) == [READY, FAILED]


# running -> ready


def test_an_unstarted_claim_is_released(store: AnyStore) -> None:
    (job,) = keep(store, a_job())
    (work,) = claim(store)
    with store.begin() as tx:
        assert tx.jobs.release([(work.id, work.token)]) == {work.id}
        assert tx.jobs.release([]) == set()
    row = see(store, job)
    assert (row.state, row.attempt, row.token) == (READY, 0, work.token + 1)
    assert (row.lease_until, row.status.value) == (None, "pending")
    assert write(store, ended(work)) == set()
    with store.view() as tx:
        assert list(tx.jobs.attempts(job.id)) == []
    (again,) = claim(store)
    assert again.attempt == 1
    assert again.token == work.token + 2


def test_a_stale_claim_cannot_be_released(store: AnyStore) -> None:
    one, two = running(store, a_job(), a_job())
    write(store, ended(two))
    with store.begin() as tx:
        assert (
            tx.jobs.release([(one.id, one.token - 1), (two.id, two.token), (JobId(999), 1)])
            == set()
        )
    assert stand(store, one.id, two.id) == [RUNNING, SUCCEEDED]


def test_a_released_claim_retains_its_earlier_attempts(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    write(store, ended(work, Outcome.SNOOZED, retry_after=0))
    (second,) = claim(store)
    with store.begin() as tx:
        tx.jobs.release([(second.id, second.token)])
    assert see(store, work).attempt == 1
    (again,) = claim(store)
    assert again.attempt == 2
    write(store, ended(again))
    with store.view() as tx:
        assert [each.number for each in tx.jobs.attempts(work.id)] == [1, 2]


def test_a_released_claim_is_cancelled_if_that_was_requested(
    store: AnyStore,
) -> None:
    (work,) = running(store, a_job())
    move(store, work, "cancel")
    with store.begin() as tx:
        assert tx.jobs.release([(work.id, work.token)]) == {work.id}
    assert stand(store, work.id) == [CANCELLED]
    assert see(store, work).ended_at is not None
    assert claim(store) == []


@pytest.mark.parametrize("isolation", [None, *Isolation])
def test_the_isolation_of_an_attempt_is_stored(
    store: AnyStore, isolation: Isolation | None
) -> None:
    (work,) = running(store, a_job())
    write(store, ended(work, Outcome.CRASHED, error="SIGSEGV", isolation=isolation))
    with store.view() as tx:
        (attempt,) = tx.jobs.attempts(work.id)
    assert (attempt.outcome, attempt.error) == (Outcome.CRASHED, "SIGSEGV")
    assert attempt.isolation is isolation
