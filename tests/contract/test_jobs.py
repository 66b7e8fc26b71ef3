"""Jobs: every edge of the states table, its guard, and what is written."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from typing import Any

import pytest
from attrs import evolve

from tests.contract.made import (
    ALICE,
    BOB,
    NOON,
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
    reap_all,
    running,
    see,
    stand,
    sweep,
    switch,
    write,
)
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity import EVERYTHING, SYSTEM_ID, Scope
from workbell.domain.jobs import (
    ENDED,
    Job,
    JobId,
    JobOrigin,
    JobState,
    Missed,
    Mode,
    Outcome,
    Progress,
    reap,
)

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


# new -> ready / scheduled / held / skipped


def test_work_due_at_once_is_ready_and_later_work_scheduled(store: AnyStore) -> None:
    jobs = keep(store, a_job(), a_job(due_at=after(0.000001)), a_job(due_at=after(-5)))
    assert [job.state for job in jobs] == [READY, SCHEDULED, READY]
    assert stand(store, *jobs) == [READY, SCHEDULED, READY]
    assert jobs[0].queued_at == NOON
    assert jobs[1].queued_at is None


def test_the_store_decides_the_state_of_new_work(store: AnyStore) -> None:
    """Whatever waiting state comes in; only an end is kept as it is."""
    ready, later, skipped = keep(
        store,
        a_job(state=HELD),
        a_job(state=READY, due_at=after(9)),
        a_job(state=SKIPPED, reason="overlap", ended_at=NOON),
    )
    assert stand(store, ready, later, skipped) == [READY, SCHEDULED, SKIPPED]
    assert see(store, skipped).reason == "overlap"
    assert claim(store, limit=9)[0].id == ready.id


def test_work_of_an_inactive_task_is_held_once_it_is_due(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition(is_active=False))
    jobs = keep(store, a_job(), a_job(due_at=after(1)), a_job(task="unknown"))
    assert stand(store, *jobs) == [HELD, SCHEDULED, READY]
    assert sweep(store, after(1)) == 1
    assert stand(store, *jobs) == [HELD, HELD, READY]


def test_jobs_come_back_with_ids_in_their_order(store: AnyStore) -> None:
    jobs = keep(store, *[a_job(name=f"n{n}") for n in range(20)])
    assert [job.name for job in jobs] == [f"n{n}" for n in range(20)]
    assert len(set(ids(jobs))) == 20
    assert all(see(store, job) == job for job in jobs)
    with store.begin() as tx:
        assert list(tx.jobs.add([], NOON)) == []


def test_every_field_comes_back_as_it_went_in(store: AnyStore) -> None:
    moment = after(0.123456)
    new = a_job(
        name="Bericht – 報告 🛎",
        description="line\nline",
        parameters={"texts": ["é", "\u0000x"[1:]], "deep": {"n": 1.5, "none": None, "yes": True}},
        due_at=moment,
        queue="mail",
        priority=7,
        weight=4.0,
        fair_key="destination:1",
        lane="lane:é",
        lane_limit=3,
        mode=Mode.ALONE,
        fail_when_lost=True,
        max_attempts=9,
        timeout_seconds=12,
        origin=JobOrigin.BACKFILL,
        schedule_id=5,
        tick=moment,
        for_tick=moment,
        missed=Missed(NOON, moment, 3),
        rerun_of=JobId(77),
        idempotency_key="key – ключ",
        request_hash="ab" * 32,
        progress=Progress(1, 2, "half"),
        created_at=moment,
    )
    (job,) = keep(store, new)
    assert evolve(see(store, job), id=new.id, fair_tag=0.0) == new
    assert type(see(store, job).origin) is JobOrigin
    assert type(see(store, job).mode) is Mode
    assert type(see(store, job).state) is JobState


def test_moments_come_back_in_utc_to_the_microsecond(store: AnyStore) -> None:
    zone = timezone(timedelta(hours=5, minutes=45))
    (job,) = keep(store, a_job(due_at=after(60.999999).astimezone(zone)))
    kept = see(store, job).due_at
    assert kept == after(60.999999)
    assert kept.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "x" * 60_000, [], {}, [1, [2, [3]]], {"a": {"b": [None, "ü"]}}],
)
def test_results_come_back_as_they_went_in(store: AnyStore, value: Any) -> None:
    (work,) = running(store, a_job(parameters={"value": value}))
    assert work.parameters == {"value": value}
    write(store, ended(work, result=value))
    assert see(store, work).result == value
    assert type(see(store, work).result) is type(value)


def test_what_was_kept_does_not_change_with_the_callers_own(store: AnyStore) -> None:
    mine = {"list": [1]}
    (job,) = keep(store, a_job(parameters=mine))
    mine["list"].append(2)
    assert see(store, job).parameters == {"list": [1]}


# unique keys


def test_a_tick_is_kept_once(store: AnyStore) -> None:
    tick = a_job(schedule_id=1, tick=NOON)
    (kept,) = keep(store, tick)
    with store.begin() as tx:
        again = tx.jobs.add(
            [tick, evolve(tick, tick=after(60)), evolve(tick, schedule_id=2), tick], NOON
        )
        assert [job is None for job in again] == [True, False, False, True]
    with store.view() as tx:
        assert ids(tx.jobs.unfinished([1])[1])[0] == kept.id
        assert len(tx.jobs.unfinished([1])[1]) == 2


def test_a_skipped_tick_takes_its_place_too(store: AnyStore) -> None:
    keep(store, a_job(schedule_id=1, tick=NOON, state=SKIPPED, ended_at=NOON))
    with store.begin() as tx:
        assert list(tx.jobs.add([a_job(schedule_id=1, tick=NOON)], NOON)) == [None]


def test_runs_without_a_tick_are_not_unique(store: AnyStore) -> None:
    keep(store, *[a_job(schedule_id=1, for_tick=NOON)] * 3)
    keep(store, *[a_job()] * 3)


def test_an_idempotency_key_is_kept_once_for_each_owner(store: AnyStore) -> None:
    new = a_job(idempotency_key="key", request_hash="hash")
    (kept,) = keep(store, new)
    with store.begin() as tx:
        again = tx.jobs.add(
            [new, evolve(new, owner=BOB), evolve(new, idempotency_key="KEY"), a_job()], NOON
        )
        assert [job is None for job in again] == [True, False, False, False]
        assert tx.jobs.by_idempotency_key(ALICE, "key") == kept
        assert tx.jobs.by_idempotency_key(BOB, "KEY") is None


def test_a_key_taken_within_the_statement_counts(store: AnyStore) -> None:
    with store.begin() as tx:
        first, second = tx.jobs.add([a_job(idempotency_key="k"), a_job(idempotency_key="k")], NOON)
        assert first is not None
        assert second is None


def test_of_many_threads_with_one_key_one_makes_the_job(store: AnyStore) -> None:
    def make(_: int) -> bool:
        with store.begin() as tx:
            return tx.jobs.add([a_job(idempotency_key="one")], NOON)[0] is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(24))) == 1


# scheduled -> ready


def test_stage_moves_what_is_due_oldest_first(store: AnyStore) -> None:
    newer, older, later = keep(
        store, a_job(due_at=after(2)), a_job(due_at=after(1)), a_job(due_at=after(9))
    )
    with store.begin() as tx:
        assert tx.jobs.next_due() == after(1)
        assert tx.jobs.stage(after(0.5)) == 0
        assert tx.jobs.stage(after(3), limit=1) == 1
    assert stand(store, newer, older, later) == [SCHEDULED, READY, SCHEDULED]
    assert sweep(store, after(2)) == 1
    assert stand(store, newer, older, later) == [READY, READY, SCHEDULED]
    assert see(store, older).queued_at == after(3)
    with store.view() as tx:
        assert tx.jobs.next_due() == after(9)


def test_nothing_scheduled_is_due_never(store: AnyStore) -> None:
    keep(store, a_job())
    with store.view() as tx:
        assert tx.jobs.next_due() is None
    assert sweep(store, after(9)) == 0


def test_due_at_the_moment_itself_is_due(store: AnyStore) -> None:
    (job,) = keep(store, a_job(due_at=after(1)))
    assert sweep(store, after(0.999999)) == 0
    assert sweep(store, after(1)) == 1
    assert stand(store, job) == [READY]


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


def test_a_row_whose_cancelling_was_asked_for_is_not_claimed(store: AnyStore) -> None:
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


def test_negative_priorities_come_last(store: AnyStore) -> None:
    low, plain = keep(store, a_job(priority=-1), a_job())
    assert ids(claim(store)) == [plain.id, low.id]


def test_ordinary_rows_are_claimed_up_to_the_free_threads(store: AnyStore) -> None:
    keep(store, *[a_job()] * 5)
    assert len(claim(store, free_threads=2)) == 2
    assert claim(store, free_threads=0) == []


def test_batch_rows_are_claimed_beyond_the_free_threads(store: AnyStore) -> None:
    jobs = keep(store, *[a_job(mode=Mode.BATCH)] * 5, a_job(), *[a_job(mode=Mode.BATCH)] * 5)
    assert ids(claim(store, free_threads=0)) == ids(jobs[:5])
    assert len(claim(store, free_threads=1)) == 6


def test_a_row_that_runs_alone_is_claimed_alone(store: AnyStore) -> None:
    first, alone, last = keep(store, a_job(), a_job(mode=Mode.ALONE), a_job())
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


def test_extending_renews_the_lease_under_the_token_only(store: AnyStore) -> None:
    one, two = running(store, a_job(), a_job())
    with store.begin() as tx:
        renewed = tx.jobs.extend(
            [(one.id, one.token), (two.id, two.token - 1), (JobId(999), 1)], after(60)
        )
        assert dict(renewed) == {one.id: False}
        assert dict(tx.jobs.extend([], after(60))) == {}
    assert see(store, one).lease_until == after(60)
    assert see(store, two).lease_until == after(30)


def test_extending_tells_of_a_cancel(store: AnyStore) -> None:
    one, two = running(store, a_job(), a_job())
    assert move(store, one, "cancel")
    assert stand(store, one.id) == [RUNNING]
    with store.begin() as tx:
        renewed = tx.jobs.extend([(one.id, one.token), (two.id, two.token)], after(60))
    assert dict(renewed) == {one.id: True, two.id: False}


def test_what_has_ended_is_not_renewed(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    write(store, ended(work))
    with store.begin() as tx:
        assert dict(tx.jobs.extend([(work.id, work.token)], after(60))) == {}
    assert see(store, work).lease_until is None


def test_progress_is_noted_under_the_token_only(store: AnyStore) -> None:
    one, two = running(store, a_job(), a_job())
    with store.begin() as tx:
        tx.jobs.note_progress(
            [
                (one.id, one.token, Progress(1, None, "ünder way")),
                (two.id, two.token + 1, Progress(2, 3)),
            ]
        )
    assert see(store, one).progress == Progress(1, None, "ünder way")
    assert see(store, two).progress is None
    write(store, ended(one))
    with store.begin() as tx:
        tx.jobs.note_progress([(one.id, one.token, Progress(9))])
    assert see(store, one).progress == Progress(1, None, "ünder way")


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


def test_a_failure_is_tried_again_until_the_attempts_are_used_up(store: AnyStore) -> None:
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


def test_a_permanent_failure_is_not_tried_again(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    write(store, ended(work, Outcome.FAILED, error="bad", permanent=True))
    assert stand(store, work.id) == [FAILED]


def test_a_snooze_gives_the_attempt_back(store: AnyStore) -> None:
    (work,) = running(store, a_job(max_attempts=1))
    write(store, ended(work, Outcome.SNOOZED, retry_after=10))
    row = see(store, work)
    assert (row.state, row.due_at, row.attempt, row.max_attempts) == (SCHEDULED, after(10), 1, 2)


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


def test_of_many_threads_with_one_token_one_is_accepted(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(lambda n: write(store, ended(work, result=n)), range(16)))
    assert sum(len(each) for each in accepted) == 1
    assert see(store, work).result == accepted.index({work.id})


def test_a_retry_becomes_cancelled_where_that_was_asked_for(store: AnyStore) -> None:
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


def test_a_lost_row_is_tried_again_after_a_second(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    assert reap_all(store, after(31)) == {work.id}
    row = see(store, work)
    assert (row.state, row.due_at, row.lease_until) == (SCHEDULED, after(32), None)
    with store.view() as tx:
        (attempt,) = tx.jobs.attempts(work.id)
    assert (attempt.outcome, attempt.error) == (Outcome.LOST, "the worker was lost")


def test_a_row_whose_lease_was_renewed_meanwhile_is_not_reaped(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    with store.view() as tx:
        (lost,) = tx.jobs.expired(after(31))
    with store.begin() as tx:
        tx.jobs.extend([(work.id, work.token)], after(60))
    assert write(store, reap(lost, after(31))) == set()
    assert stand(store, work.id) == [RUNNING]


def test_a_lease_that_ends_at_the_moment_itself_holds(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    assert write(store, reap(work, after(30))) == set()
    assert write(store, reap(work, after(30.000001))) == {work.id}


def test_of_two_reapers_one_is_accepted(store: AnyStore) -> None:
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
    (work,) = running(store, a_job(mode=Mode.ALONE, fail_when_lost=True))
    reap_all(store, after(31))
    assert stand(store, work.id) == [FAILED]


def test_a_lost_row_is_cancelled_where_that_was_asked_for(store: AnyStore) -> None:
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
        assert [each.outcome for each in tx.jobs.attempts(work.id)] == [Outcome.TIMEOUT]


def test_a_row_lost_from_a_batch_gets_one_attempt_more_and_runs_alone(store: AnyStore) -> None:
    first, second = running(store, *[a_job(mode=Mode.BATCH, max_attempts=1)] * 2)
    reap_all(store, after(31))
    row = see(store, first)
    assert (row.state, row.mode, row.max_attempts) == (SCHEDULED, Mode.ALONE, 2)
    sweep(store, after(32))
    assert len(claim(store, now=after(32))) == 1
    reap_all(store, after(99))
    assert sorted(stand(store, first.id, second.id)) == [READY, FAILED]


# running -> ready


def test_an_unstarted_claim_is_given_back(store: AnyStore) -> None:
    (job,) = keep(store, a_job())
    (work,) = claim(store)
    with store.begin() as tx:
        assert tx.jobs.give_back([(work.id, work.token)]) == {work.id}
        assert tx.jobs.give_back([]) == set()
    row = see(store, job)
    assert (row.state, row.attempt, row.token) == (READY, 0, work.token + 1)
    assert (row.lease_until, row.status.value) == (None, "pending")
    assert write(store, ended(work)) == set()
    with store.view() as tx:
        assert list(tx.jobs.attempts(job.id)) == []
    (again,) = claim(store)
    assert again.attempt == 1
    assert again.token == work.token + 2


def test_a_stale_claim_cannot_be_given_back(store: AnyStore) -> None:
    one, two = running(store, a_job(), a_job())
    write(store, ended(two))
    with store.begin() as tx:
        assert (
            tx.jobs.give_back([(one.id, one.token - 1), (two.id, two.token), (JobId(999), 1)])
            == set()
        )
    assert stand(store, one.id, two.id) == [RUNNING, SUCCEEDED]


def test_a_claim_given_back_keeps_its_earlier_attempts(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    write(store, ended(work, Outcome.FAILED, retry_after=0))
    (second,) = claim(store)
    with store.begin() as tx:
        tx.jobs.give_back([(second.id, second.token)])
    assert see(store, work).attempt == 1
    (again,) = claim(store)
    assert again.attempt == 2
    write(store, ended(again))
    with store.view() as tx:
        assert [each.number for each in tx.jobs.attempts(work.id)] == [1, 2]


def test_a_claim_whose_cancelling_was_asked_for_is_not_given_back_to_run(
    store: AnyStore,
) -> None:
    (work,) = running(store, a_job())
    move(store, work, "cancel")
    with store.begin() as tx:
        assert tx.jobs.give_back([(work.id, work.token)]) == {work.id}
    assert stand(store, work.id) == [CANCELLED]
    assert see(store, work).ended_at is not None
    assert claim(store) == []


# commands


def test_waiting_work_is_cancelled(store: AnyStore) -> None:
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
        assert tx.jobs.release_lanes(after(1)) == 0


@pytest.mark.parametrize("state", ENDED)
def test_what_has_ended_is_not_cancelled(store: AnyStore, state: JobState) -> None:
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


def test_replacing_is_refused_once_the_row_has_moved(store: AnyStore) -> None:
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


def test_a_later_time_sends_ready_work_back_to_the_calendar(store: AnyStore) -> None:
    (job,) = keep(store, a_job())
    with store.begin() as tx:
        assert tx.jobs.replace(job, evolve(job, state=SCHEDULED, due_at=after(5)))
    assert stand(store, job) == [SCHEDULED]
    assert claim(store) == []
    assert sweep(store, after(5)) == 1


def test_an_earlier_time_readies_scheduled_work(store: AnyStore, clock: ManualClock) -> None:
    (job,) = keep(store, a_job(due_at=after(60)))
    clock.at = after(1)
    with store.begin() as tx:
        assert tx.jobs.replace(job, evolve(job, due_at=after(1)))
    assert stand(store, job) == [READY]


def test_a_held_tick_is_superseded(store: AnyStore) -> None:
    _, held = keep(store, *[a_job(lane="l")] * 2)
    assert move(store, held, "supersede", now=after(1))
    row = see(store, held)
    assert (row.state, row.reason, row.ended_at) == (SKIPPED, "superseded", after(1))


def test_hidden_jobs_are_not_found(store: AnyStore) -> None:
    (job,) = keep(store, a_job(state=SUCCEEDED, ended_at=NOON))
    with store.begin() as tx:
        assert tx.jobs.replace(job, evolve(job, hidden=True))
    with store.begin() as tx:
        with pytest.raises(NotFound):
            tx.jobs.get(EVERYTHING, job.id)
        with pytest.raises(NotFound):
            tx.jobs.get_for_update(EVERYTHING, job.id)


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
        assert tx.jobs.get(EVERYTHING, nobodys.id) == nobodys


def test_a_rerun_is_a_new_job(store: AnyStore) -> None:
    (work,) = running(store, a_job(schedule_id=1, tick=NOON, idempotency_key="k"))
    write(store, ended(work))
    (again,) = keep(store, see(store, work).again(after(1)), now=after(1))
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
        assert tx.jobs.release_lanes(NOON) == 0
    assert switch(store, "echo", on=True) == 1
    assert ids(claim(store)) == [ready.id]


# what a service asks


def test_waiting_jobs_of_an_owner_are_counted(store: AnyStore) -> None:
    running(store, a_job())
    keep(store, a_job(), a_job(due_at=after(1)), a_job(owner=BOB))
    keep(store, a_job(state=SUCCEEDED, ended_at=NOON), a_job(lane="l"), a_job(lane="l"))
    with store.view() as tx:
        assert tx.jobs.count_waiting(ALICE, at_most=99) == 4
        assert tx.jobs.count_waiting(ALICE, at_most=3) == 3
        assert tx.jobs.count_waiting(SYSTEM_ID, at_most=3) == 0


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
