"""Jobs: inserting, unique keys and due times."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import (
    ALICE,
    BOB,
    HELD,
    NOON,
    READY,
    SCHEDULED,
    SKIPPED,
    AnyStore,
    a_definition,
    a_job,
    after,
    claim,
    ended,
    ids,
    keep,
    running,
    see,
    stand,
    sweep,
    write,
)
from workbell.domain.jobs.job import ClaimMode, JobId, JobOrigin, JobState, MissedTicks, Progress

# new -> ready / scheduled / held / skipped


def test_new_jobs_are_ready_if_due_and_scheduled_otherwise(store: AnyStore) -> None:
    jobs = keep(store, a_job(), a_job(due_at=after(0.000001)), a_job(due_at=after(-5)))
    assert [job.state for job in jobs] == [READY, SCHEDULED, READY]
    assert stand(store, *jobs) == [READY, SCHEDULED, READY]
    assert jobs[0].queued_at == NOON
    assert jobs[1].queued_at is None


def test_the_store_decides_the_state_of_new_jobs(store: AnyStore) -> None:
    """The initial state is computed for waiting jobs; final states are unchanged."""
    ready, later, skipped = keep(
        store,
        a_job(state=HELD),
        a_job(state=READY, due_at=after(9)),
        a_job(state=SKIPPED, reason="overlap", ended_at=NOON),
    )
    assert stand(store, ready, later, skipped) == [READY, SCHEDULED, SKIPPED]
    assert see(store, skipped).reason == "overlap"
    assert claim(store, limit=9)[0].id == ready.id


def test_a_due_job_of_an_inactive_task_is_held(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition(is_active=False))
    jobs = keep(store, a_job(), a_job(due_at=after(1)), a_job(task="unknown"))
    assert stand(store, *jobs) == [HELD, SCHEDULED, READY]
    assert sweep(store, after(1)) == 1
    assert stand(store, *jobs) == [HELD, HELD, READY]


def test_jobs_are_returned_with_ids_in_their_order(store: AnyStore) -> None:
    jobs = keep(store, *[a_job(name=f"n{n}") for n in range(20)])
    assert [job.name for job in jobs] == [f"n{n}" for n in range(20)]
    assert len(set(ids(jobs))) == 20
    assert all(see(store, job) == job for job in jobs)
    with store.begin() as tx:
        assert list(tx.jobs.add([], NOON)) == []


def test_every_field_is_returned_unchanged(store: AnyStore) -> None:
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
        concurrency_key="concurrency_key:é",
        concurrency_limit=3,
        mode=ClaimMode.EXCLUSIVE,
        fail_when_lost=True,
        max_attempts=9,
        timeout_seconds=12,
        origin=JobOrigin.BACKFILL,
        schedule_id=5,
        tick=moment,
        for_tick=moment,
        missed=MissedTicks(NOON, moment, 3),
        rerun_of=JobId(77),
        idempotency_key="key – ключ",
        request_hash="ab" * 32,
        progress=Progress(1, 2, "half"),
        created_at=moment,
    )
    (job,) = keep(store, new)
    assert evolve(see(store, job), id=new.id, fair_tag=0.0) == new
    assert type(see(store, job).origin) is JobOrigin
    assert type(see(store, job).mode) is ClaimMode
    assert type(see(store, job).state) is JobState


def test_times_are_returned_in_utc_with_microseconds(store: AnyStore) -> None:
    zone = timezone(timedelta(hours=5, minutes=45))
    (job,) = keep(store, a_job(due_at=after(60.999999).astimezone(zone)))
    kept = see(store, job).due_at
    assert kept == after(60.999999)
    assert kept.utcoffset() == timedelta(0)


def test_jobs_of_a_batch_have_the_same_fields_as_a_single_one(store: AnyStore) -> None:
    """Stores take many on another way than one."""
    zone = timezone(timedelta(hours=-3))
    full = a_job(
        due_at=after(60.999999).astimezone(zone),
        schedule_id=3,
        tick=NOON,
        parameters={"a": [1, 2.5, 'ü\\ " \n\u2028', None], "b": {"c": {}}},
        progress=Progress(1.5, None, "half"),
        missed=MissedTicks(NOON, after(9), 3),
        result={"kept": [None]},
        description="'; --",
    )
    ended_job = a_job(state=SKIPPED, ended_at=NOON, reason="overlap", fair_key="k", result=0)
    for job in keep(store, full, ended_job, a_job(concurrency_key="l")):
        assert see(store, job) == job


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "x" * 60_000, [], {}, [1, [2, [3]]], {"a": {"b": [None, "ü"]}}],
)
def test_results_are_returned_unchanged(store: AnyStore, value: Any) -> None:
    (work,) = running(store, a_job(parameters={"value": value}))
    assert work.parameters == {"value": value}
    write(store, ended(work, result=value))
    assert see(store, work).result == value
    assert type(see(store, work).result) is type(value)


def test_stored_values_do_not_change_with_the_callers_objects(store: AnyStore) -> None:
    mine = {"list": [1]}
    (job,) = keep(store, a_job(parameters=mine))
    mine["list"].append(2)
    assert see(store, job).parameters == {"list": [1]}


# unique keys


def test_a_tick_is_inserted_once(store: AnyStore) -> None:
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


def test_a_skipped_tick_is_unique_too(store: AnyStore) -> None:
    keep(store, a_job(schedule_id=1, tick=NOON, state=SKIPPED, ended_at=NOON))
    with store.begin() as tx:
        assert list(tx.jobs.add([a_job(schedule_id=1, tick=NOON)], NOON)) == [None]


def test_runs_without_a_tick_are_not_unique(store: AnyStore) -> None:
    kept = keep(store, *[a_job(schedule_id=1, for_tick=NOON)] * 3)
    kept += keep(store, *[a_job()] * 3)
    assert len({job.id for job in kept}) == 6


def test_an_idempotency_key_is_unique_per_owner(store: AnyStore) -> None:
    new = a_job(idempotency_key="key", request_hash="hash")
    (kept,) = keep(store, new)
    with store.begin() as tx:
        again = tx.jobs.add(
            [new, evolve(new, owner=BOB), evolve(new, idempotency_key="KEY"), a_job()], NOON
        )
        assert [job is None for job in again] == [True, False, False, False]
        assert tx.jobs.by_idempotency_key(ALICE, "key") == kept
        assert tx.jobs.by_idempotency_key(BOB, "KEY") is None


def test_a_key_occupied_within_the_statement_counts(store: AnyStore) -> None:
    with store.begin() as tx:
        first, second = tx.jobs.add([a_job(idempotency_key="k"), a_job(idempotency_key="k")], NOON)
        assert first is not None
        assert second is None


def test_one_of_many_threads_with_one_key_creates_the_job(store: AnyStore) -> None:
    def make(_: int) -> bool:
        with store.begin() as tx:
            return tx.jobs.add([a_job(idempotency_key="one")], NOON)[0] is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(24))) == 1


# scheduled -> ready


def test_due_jobs_are_staged_oldest_first(store: AnyStore) -> None:
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


def test_without_scheduled_jobs_no_job_is_due(store: AnyStore) -> None:
    keep(store, a_job())
    with store.view() as tx:
        assert tx.jobs.next_due() is None
    assert sweep(store, after(9)) == 0


def test_a_row_due_now_is_due(store: AnyStore) -> None:
    (job,) = keep(store, a_job(due_at=after(1)))
    assert sweep(store, after(0.999999)) == 0
    assert sweep(store, after(1)) == 1
    assert stand(store, job) == [READY]
