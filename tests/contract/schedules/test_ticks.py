"""The fast path for due ticks: the same jobs as the general path."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.conftest import RecordingWaker, empty_store
from tests.contract.factories import (
    ALICE,
    BOB,
    NOON,
    READY,
    SKIPPED,
    AnyStore,
    ManualClock,
    a_definition,
    a_job,
    a_schedule,
    after,
    claim,
    ended,
    keep,
    running,
    see,
    write,
)
from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.jobs.task import OnLost, Task
from workbell.domain.schedules.schedule import OverlapPolicy, Schedule, ScheduleId
from workbell.domain.schedules.ticks import (
    Due,
    FastPathStep,
    PlannedTick,
    TickPlan,
    fast_path_step,
    plan,
)
from workbell.ports.jobs.views import JobFilter

SHORT = ("memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.integration))


@pytest.fixture(params=SHORT)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[AnyStore]:
    """Return an empty store of each kind that has a fast path."""
    with empty_store(request.param, tmp_path, clock) as opened:
        yield opened


ECHO = Task(key="echo", body=lambda _, __: None)
ODD = Task(
    key="echo",
    body=lambda _, __: None,
    queue="odd",
    on_lost=OnLost.FAIL,
    max_attempts=7,
    timeout_seconds=9,
)
BATCH = Task(key="echo", body=lambda _, __: None, batch=True)
TASKS = (ECHO, ODD, BATCH)
HOURLY = after(3600)


def put(store: AnyStore, *schedules: Schedule) -> list[Schedule]:
    with store.begin() as tx:
        return [tx.schedules.add(schedule) for schedule in schedules]


def steps(*schedules: Schedule) -> list[FastPathStep]:
    found = [fast_path_step(Due.from_schedule(schedule), NOON) for schedule in schedules]
    return [step for step in found if step is not None]


def tick(
    store: AnyStore, schedules: Sequence[Schedule], task: Task = ECHO, **changes: Any
) -> list[int]:
    """Add the ticks of schedules; return whose were accounted for."""
    wanted = [step._replace(**changes) for step in steps(*schedules)]
    with store.begin() as tx:
        return [step.schedule for step in tx.jobs.add_ticks(task, wanted, NOON)]


def rows(store: AnyStore) -> list[Job]:
    """Return every job, by id."""
    with store.view() as tx:
        return list(tx.jobs.find(ALL_OWNERS, JobFilter(), ordering=["id"], limit=999))


def renumbered(jobs: Sequence[Job]) -> list[Job]:
    """Return jobs in their order: on a server an id that was undone is not used again."""
    return [evolve(job, id=JobId(n)) for n, job in enumerate(jobs)]


def generally(store: AnyStore, schedules: Sequence[Schedule], task: Task) -> list[Job]:
    """Return the jobs of the full plan for the same ticks, and roll back."""
    jobs = [s.job(task, NOON, due_at=NOON, tick=NOON) for s in schedules]
    found: list[Job] = []
    with suppress(NotFound), store.begin() as tx:
        tx.jobs.add(jobs, NOON)
        found += tx.jobs.find(ALL_OWNERS, JobFilter(), ordering=["id"], limit=999)
        raise NotFound("none of it is kept")
    return found


MANY = [
    a_schedule(
        owner=owner,
        overlap_policy=policy,
        weight=weight,
        priority=priority,
        name="nächtlich",
        parameters={"ü": [1, 2.5, None, {"deep": "'"}]},
    )
    for owner, policy, weight, priority in product((ALICE, BOB), OverlapPolicy, (1.0, 3.0), (0, -2))
]
OWN = [
    a_schedule(queue="mail", max_attempts=2, timeout_seconds=60, schema_version=3),
    a_schedule(queue="mail", weight=0.1),
    a_schedule(queue="mail", weight=0.1),
    a_schedule(queue=""),
]


@pytest.mark.parametrize("task", TASKS)
def test_the_fast_path_inserts_the_same_rows_as_the_full_plan(store: AnyStore, task: Task) -> None:
    """The fair tags too, which stand behind what is ready already."""
    keep(store, *[a_job(queue=q, owner=BOB, weight=0.3) for q in ("default", "mail", "odd") * 2])
    schedules = put(store, *MANY, *OWN)
    expected = generally(store, schedules, task)
    assert len(expected) == len(schedules) + 6
    assert tick(store, schedules, task) == [schedule.id for schedule in schedules]
    assert renumbered(rows(store)) == renumbered(expected)


def test_the_queues_are_woken(store: AnyStore, waker: RecordingWaker) -> None:
    tick(store, put(store, a_schedule(), a_schedule(queue="mail"), a_schedule()))
    assert waker.woken == ["default", "mail"]
    assert tick(store, []) == []
    assert waker.woken == ["default", "mail"]


def test_a_tick_that_has_its_row_is_accounted_for(store: AnyStore) -> None:
    had, new = put(store, a_schedule(), a_schedule())
    own = a_job(schedule_id=had.id, tick=NOON, state=SKIPPED, ended_at=NOON)
    (kept,) = keep(store, own)
    assert tick(store, [had, new]) == [had.id, new.id]
    first, second = rows(store)
    assert (first, second.schedule_id, second.state) == (kept, new.id, READY)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"version": 2}, True),
        ({"next_at": after(60)}, True),
        ({"next_at": None}, True),
        ({"deleted_at": NOON}, True),
        ({"fail_streak": 1}, False),
    ],
)
def test_changed_schedules_are_skipped(store: AnyStore, change: dict[str, Any], left: bool) -> None:
    changed, other = put(store, a_schedule(), a_schedule())
    wanted = steps(changed, other)
    with store.begin() as tx:
        tx.schedules.replace(evolve(changed, **change))
        kept = tx.jobs.add_ticks(ECHO, wanted, NOON)
    assert list(kept) == (wanted[1:] if left else wanted)
    assert len(rows(store)) == len(kept)


def test_unknown_schedules_are_skipped(store: AnyStore) -> None:
    (schedule,) = put(store, a_schedule())
    assert tick(store, [evolve(schedule, id=ScheduleId(99))]) == []


@pytest.mark.parametrize("state", [JobState.SCHEDULED, READY, JobState.RUNNING])
def test_overlapping_runs_need_the_full_plan(store: AnyStore, state: JobState) -> None:
    """Unless every run may overlap."""
    schedule, free = put(store, a_schedule(), a_schedule(overlap_policy=OverlapPolicy.ALLOW_ALL))
    late = after(9) if state is JobState.SCHEDULED else NOON
    runs = [a_job(schedule_id=s.id, due_at=late) for s in (schedule, free)]
    if state is JobState.RUNNING:
        running(store, *runs)
    else:
        keep(store, *runs)
    assert tick(store, [schedule, free]) == [free.id]


def test_an_occupied_concurrency_key_needs_the_full_plan(store: AnyStore) -> None:
    schedule, free = put(store, a_schedule(), a_schedule())
    keep(store, a_job(concurrency_key=schedule.concurrency_key))
    assert tick(store, [schedule, free]) == [free.id]


def test_a_finished_run_does_not_count_as_overlap(store: AnyStore) -> None:
    (schedule,) = put(store, a_schedule())
    (work,) = running(
        store, a_job(schedule_id=schedule.id, concurrency_key=schedule.concurrency_key)
    )
    write(store, ended(work, now=NOON))
    assert tick(store, [schedule]) == [schedule.id]


def test_inactive_tasks_need_the_full_plan(store: AnyStore) -> None:
    schedules = put(store, a_schedule())
    with store.begin() as tx:
        tx.definitions.add(a_definition(is_active=False))
    assert tick(store, schedules) == []


def test_the_concurrency_key_allows_one_job(store: AnyStore) -> None:
    """Even where the last job added to it had another limit."""
    (schedule,) = put(store, a_schedule())
    (wide,) = running(store, a_job(concurrency_key=schedule.concurrency_key, concurrency_limit=5))
    write(store, ended(wide, now=NOON))
    tick(store, [schedule])
    more = {"schedule_id": schedule.id, "concurrency_key": schedule.concurrency_key}
    (waits,) = keep(store, a_job(**more))
    (work,) = claim(store)
    assert see(store, waits).state is JobState.HELD
    write(store, ended(work, now=NOON))
    assert see(store, waits).state is READY


# which case is common


def test_a_single_tick_on_time_takes_the_fast_path() -> None:
    due = Due.from_schedule(a_schedule(version=4))
    assert fast_path_step(due, NOON) == FastPathStep(due.id, 4, NOON, HOURLY)
    assert fast_path_step(due, after(60)) is not None


@given(
    line=st.sampled_from(["* * * * *", "*/2 * * * *", "0 * * * *", "30 2 * * *", "0 0 29 2 *"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    day=st.integers(0, 400),
    late=st.integers(0, 90),
)
def test_the_fast_path_step_equals_the_plan(line: str, zone: str, day: int, late: int) -> None:
    rule = CronRule(line, zone)
    tick = rule.next_after(NOON + timedelta(days=day))
    assert tick is not None
    now = tick + timedelta(seconds=late)
    schedule = a_schedule(cron=rule, next_at=tick, runs=3)
    step = fast_path_step(Due.from_schedule(schedule), now)
    if step is not None:
        planned = TickPlan(rows=[PlannedTick(tick=tick)], cursor=tick, next_at=step.next_at, runs=4)
        assert plan(schedule, now) == planned


@pytest.mark.parametrize(
    ("fields", "now"),
    [
        ({}, after(60.000001)),
        ({"cron": CronRule("* * * * *")}, after(60)),
        ({"jitter_seconds": 1}, NOON),
        ({"ends_at": HOURLY}, NOON),
    ],
)
def test_other_schedules_need_the_full_plan(fields: dict[str, Any], now: Any) -> None:
    assert fast_path_step(Due.from_schedule(a_schedule(**fields)), now) is None
