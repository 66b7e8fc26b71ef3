"""Claims: which jobs a worker gets, and for how long."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from attrs import evolve

from tests.contract.conftest import RecordingWaker
from tests.contract.factories import (
    ALICE,
    NOON,
    RUNNING,
    AnyStore,
    a_job,
    after,
    claim,
    ended,
    ids,
    keep,
    move,
    running,
    see,
    stand,
    write,
)
from workbell.domain.jobs.job import ClaimMode, JobId, Progress

# ready -> running


def test_a_claim_raises_attempt_and_token_and_takes_the_lease(store: AnyStore) -> None:
    (job,) = keep(store, a_job(parameters={"a": 1}, schedule_id=4, tick=NOON, timeout_seconds=7))
    (work,) = claim(store, now=after(1), worker="w1", lease=30)
    row = see(store, job)
    assert (row.state, row.attempt, row.token) == (RUNNING, 1, job.token + 1)
    assert (row.lease_until, row.worker, row.started_at) == (after(31), "w1", after(1))
    assert (work.id, work.token, work.attempt) == (row.id, row.token, 1)
    assert (work.task, work.owner, work.parameters) == ("echo", ALICE, {"a": 1})
    assert (work.schedule_id, work.tick, work.timeout_seconds) == (4, NOON, 7)
    assert (work.due_at, work.queued_at, work.started_at) == (NOON, NOON, after(1))
    assert (work.lease_until, work.worker) == (after(31), "w1")
    assert not work.cancel_requested


def test_only_ready_rows_of_the_queue_are_claimed(store: AnyStore) -> None:
    keep(store, a_job(due_at=after(9)), a_job(queue="mail"))
    (job,) = keep(store, a_job())
    assert ids(claim(store)) == [job.id]
    assert claim(store) == []


def test_a_job_with_a_cancellation_request_is_not_claimed(store: AnyStore) -> None:
    asked, other = keep(store, a_job(), a_job())
    with store.begin() as tx:
        assert tx.jobs.replace(asked, evolve(asked, cancel_requested=True))
    assert ids(claim(store, limit=1)) == [other.id]
    assert claim(store) == []


def test_a_claim_takes_higher_priorities_first_and_no_more_than_its_limit(
    store: AnyStore,
) -> None:
    low, high, middle, second = keep(
        store, a_job(), a_job(priority=9), a_job(priority=5), a_job(priority=9)
    )
    assert ids(claim(store, limit=2)) == [high.id, second.id]
    assert ids(claim(store, limit=2)) == [middle.id, low.id]


def test_negative_priorities_are_claimed_last(store: AnyStore) -> None:
    low, plain = keep(store, a_job(priority=-1), a_job())
    assert ids(claim(store)) == [plain.id, low.id]


def test_ordinary_rows_are_claimed_up_to_the_free_threads(store: AnyStore) -> None:
    keep(store, *[a_job()] * 5)
    assert len(claim(store, free_threads=2)) == 2
    assert claim(store, free_threads=0) == []


def test_batch_rows_are_claimed_beyond_the_free_threads(store: AnyStore) -> None:
    jobs = keep(
        store, *[a_job(mode=ClaimMode.BATCH)] * 5, a_job(), *[a_job(mode=ClaimMode.BATCH)] * 5
    )
    assert ids(claim(store, free_threads=0)) == ids(jobs[:5])
    assert len(claim(store, free_threads=1)) == 6


def test_a_row_that_runs_alone_is_claimed_alone(store: AnyStore) -> None:
    first, alone, last = keep(store, a_job(), a_job(mode=ClaimMode.EXCLUSIVE), a_job())
    assert ids(claim(store)) == [first.id]
    assert ids(claim(store)) == [alone.id]
    assert ids(claim(store)) == [last.id]


def test_threads_never_claim_a_row_twice(store: AnyStore) -> None:
    jobs = keep(store, *[a_job()] * 60)

    def drain(n: int) -> list[int]:
        taken: list[int] = []
        while rows := claim(store, limit=3, worker=f"w{n}"):
            taken += ids(rows)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [number for found in pool.map(drain, range(8)) for number in found]
    assert sorted(taken) == sorted(ids(jobs))


# running -> running


def test_a_lease_is_renewed_with_the_current_token_only(store: AnyStore) -> None:
    one, two = running(store, a_job(), a_job())
    with store.begin() as tx:
        renewed = tx.jobs.renew_leases(
            [(one.id, one.token), (two.id, two.token - 1), (JobId(999), 1)], after(60)
        )
        assert dict(renewed) == {one.id: False}
        assert dict(tx.jobs.renew_leases([], after(60))) == {}
    assert see(store, one).lease_until == after(60)
    assert see(store, two).lease_until == after(30)


def test_renewing_a_lease_reports_a_cancellation_request(store: AnyStore) -> None:
    one, two = running(store, a_job(), a_job())
    assert move(store, one, "cancel")
    assert stand(store, one.id) == [RUNNING]
    with store.begin() as tx:
        renewed = tx.jobs.renew_leases([(one.id, one.token), (two.id, two.token)], after(60))
    assert dict(renewed) == {one.id: True, two.id: False}


def test_cancelled_jobs_are_found_by_their_current_claims(store: AnyStore) -> None:
    one, two, three = running(store, a_job(), a_job(), a_job())
    assert move(store, one, "cancel")
    assert move(store, two, "cancel")
    with store.view() as tx:
        claims = [(one.id, one.token), (two.id, two.token - 1), (three.id, three.token)]
        assert tx.jobs.find_cancelled(claims) == {one.id}
        assert tx.jobs.find_cancelled([]) == set()
    write(store, ended(one))
    with store.view() as tx:
        assert tx.jobs.find_cancelled(claims) == set()


def test_the_worker_of_a_cancelled_job_is_notified_after_the_commit(
    store: AnyStore, waker: RecordingWaker
) -> None:
    (work,) = running(store, a_job())
    asked = see(store, work)
    with suppress(ZeroDivisionError), store.begin() as tx:
        assert tx.jobs.replace(asked, evolve(asked, cancel_requested=True))
        raise ZeroDivisionError
    assert waker.stopped == []
    with store.begin() as tx:
        assert tx.jobs.replace(asked, evolve(asked, cancel_requested=True))
        assert waker.stopped == []
    assert waker.stopped == [(asked.worker, work.id)]


def test_no_worker_is_notified_of_a_waiting_job(store: AnyStore, waker: RecordingWaker) -> None:
    (work,) = keep(store, a_job())
    assert move(store, work, "cancel")
    assert waker.stopped == []


def test_an_ended_claim_is_not_renewed(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    write(store, ended(work))
    with store.begin() as tx:
        assert dict(tx.jobs.renew_leases([(work.id, work.token)], after(60))) == {}
    assert see(store, work).lease_until is None


def test_progress_is_recorded_with_the_current_token_only(store: AnyStore) -> None:
    one, two = running(store, a_job(), a_job())
    with store.begin() as tx:
        tx.jobs.record_progress(
            [
                (one.id, one.token, Progress(1, None, "ünder way")),
                (two.id, two.token + 1, Progress(2, 3)),
            ]
        )
    assert see(store, one).progress == Progress(1, None, "ünder way")
    assert see(store, two).progress is None
    write(store, ended(one))
    with store.begin() as tx:
        tx.jobs.record_progress([(one.id, one.token, Progress(9))])
    assert see(store, one).progress == Progress(1, None, "ünder way")
