"""Leaps of the store's clock: nothing runs early, nothing is left in the future."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import define, evolve, field

from tests.contract.conftest import KINDS, empty_store
from tests.contract.factories import NOON, AnyStore, ManualClock, a_job, a_schedule
from tests.services.engine import FixedRandomness
from workbell.adapters.dramatiq.clock_guard import ClockGuard
from workbell.adapters.dramatiq.metrics import EngineMetrics
from workbell.adapters.dramatiq.runtime import Runtime
from workbell.adapters.observability.metrics import MetricsRegistry
from workbell.adapters.system import AnchoredClock
from workbell.domain.cron.rule import CronRule
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.attempt import Outcome, TaskResult, settle
from workbell.domain.jobs.job import Job, JobState
from workbell.domain.jobs.task import Task, Tasks
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule
from workbell.ports.jobs.views import JobFilter
from workbell.services.schedules.clock_moves import ClockMoves
from workbell.services.schedules.ticker import Ticker

FIVE_YEARS = timedelta(days=5 * 365)
LEASE = timedelta(seconds=30)
STEP = 10.0
HOUR = 3600
EVERY_FIVE = CronRule("*/5 * * * *")


@define
class Simulation:
    """A scheduler, and a store whose clock leaps; time passes in steps of 10 s."""

    store: AnyStore
    seconds: float = 0.0
    leap: timedelta = timedelta(0)
    clock: AnchoredClock = field(init=False)
    runtime: Runtime = field(init=False)
    refused: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start the process, again."""
        self.clock = AnchoredClock(self.read_time, lambda: self.seconds)
        cast(Any, self.store).clock = self.clock
        tasks = Tasks()
        tasks.add(Task(key="echo", body=lambda *_: None))
        metrics = EngineMetrics(MetricsRegistry(), tasks)
        moves = ClockMoves(store=self.store, clock=self.clock, lease=LEASE)
        guard = ClockGuard(moves, metrics, self.anchor, lambda: self.seconds)
        self.runtime = Runtime(
            execution=cast(Any, None),
            clock=self.clock,
            lease=LEASE,
            metrics=metrics,
            ticker=Ticker(
                store=self.store, clock=self.clock, randomness=FixedRandomness(), tasks=tasks
            ),
            anchor=self.anchor,
            clock_guard=guard,
        )

    def read_time(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds) + self.leap

    def anchor(self) -> float | None:
        moved = self.clock.anchor()
        return None if moved is None else moved.total_seconds()

    def run(self, seconds: float) -> None:
        """Let time pass, with a heartbeat and a pass every 10 s."""
        for _ in range(int(seconds / STEP)):
            self.seconds += STEP
            self.runtime.heartbeat()
            self.runtime._tick()

    def add(self, **fields: Any) -> Schedule:
        """Insert an active schedule that runs every five minutes."""
        values: Mapping[str, Any] = {"cron": EVERY_FIVE, "overlap_policy": OverlapPolicy.ALLOW_ALL}
        schedule = a_schedule(**{**values, **fields}).resume(self.clock.now())
        with self.store.begin() as tx:
            return tx.schedules.add(schedule)

    def reload(self, schedule: Schedule) -> Schedule:
        with self.store.view() as tx:
            return tx.schedules.get(ALL_OWNERS, schedule.id)

    def jobs(self, schedule: Schedule) -> list[Job]:
        with self.store.view() as tx:
            found = tx.jobs.find(
                ALL_OWNERS, JobFilter(schedule_id=schedule.id), ordering=["id"], limit=1000
            )
        return list(found)

    def refusals(self) -> float:
        return float(self.runtime.metrics.clock_refused._value.get())


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[AnyStore]:
    """Return an empty store of each kind."""
    with empty_store(request.param, tmp_path, clock) as opened:
        yield opened
        cast(Any, opened).clock = clock


def test_a_leap_for_one_pass_changes_nothing(store: AnyStore) -> None:
    simulation = Simulation(store)
    schedule = simulation.add()
    simulation.run(60)
    simulation.leap = FIVE_YEARS
    simulation.run(10)
    simulation.leap = timedelta(0)
    simulation.run(240)
    assert [job.tick for job in simulation.jobs(schedule)] == [NOON + timedelta(minutes=5)]
    assert simulation.refusals() == 1


@pytest.mark.parametrize("misfire", [MisfirePolicy.LATEST, MisfirePolicy.ALL])
def test_a_leap_for_an_hour_strands_no_schedule(store: AnyStore, misfire: MisfirePolicy) -> None:
    """It is accepted after 30 s; back in the present, runs go on within five minutes."""
    simulation = Simulation(store)
    schedule = simulation.add(misfire_policy=misfire)
    over = simulation.add(ends_at=NOON + timedelta(days=1))
    simulation.leap = FIVE_YEARS
    simulation.run(30)
    assert simulation.jobs(schedule) == []
    simulation.run(HOUR - 30)
    ahead = simulation.reload(schedule)
    assert ahead.next_at is not None and ahead.next_at > NOON + FIVE_YEARS
    assert simulation.reload(over).paused_reason == "ended"

    simulation.leap = timedelta(0)
    count = len(simulation.jobs(schedule))
    simulation.run(40)
    now = simulation.clock.now()
    assert now < NOON + timedelta(hours=2)
    for each in (schedule, over):
        next_at = simulation.reload(each).next_at
        assert next_at is not None and now < next_at <= now + timedelta(minutes=5)
    simulation.run(300)
    assert len(simulation.jobs(schedule)) == count + 1


def test_a_leap_back_strands_no_schedule(store: AnyStore) -> None:
    simulation = Simulation(store)
    schedule = simulation.add()
    simulation.run(300)
    simulation.leap = -FIVE_YEARS
    simulation.run(40)
    now = simulation.clock.now()
    assert now < NOON - timedelta(days=365)
    next_at = simulation.reload(schedule).next_at
    assert next_at is not None and now < next_at <= now + timedelta(minutes=5)
    simulation.run(300)
    assert len(simulation.jobs(schedule)) == 2


def test_a_schedule_that_is_resumed_after_a_leap_runs_soon(store: AnyStore) -> None:
    simulation = Simulation(store)
    schedule = simulation.add()
    stranded = evolve(
        schedule, cursor=NOON + FIVE_YEARS, next_at=NOON + FIVE_YEARS + timedelta(minutes=5)
    )
    for resumed in (stranded.pause().resume(NOON), stranded.recompute(NOON)):
        assert resumed.next_at == NOON + timedelta(minutes=5)
        assert resumed.cursor == NOON


def test_a_process_that_starts_compares_its_clock_with_the_last_pass(store: AnyStore) -> None:
    simulation = Simulation(store)
    schedule = simulation.add()
    simulation.run(60)
    simulation.seconds += 10
    simulation.leap = FIVE_YEARS
    simulation.start()
    simulation.run(20)
    assert simulation.jobs(schedule) == []
    simulation.leap = timedelta(0)
    simulation.run(60)
    assert simulation.jobs(schedule) == []
    simulation.run(200)
    assert [job.tick for job in simulation.jobs(schedule)] == [NOON + timedelta(minutes=5)]
    assert simulation.clock.now() < NOON + timedelta(hours=1)


def test_a_process_that_starts_after_a_day_makes_its_first_pass_after_30_seconds(
    store: AnyStore,
) -> None:
    simulation = Simulation(store)
    schedule = simulation.add()
    simulation.run(60)
    simulation.seconds += 86_400
    simulation.start()
    simulation.run(30)
    assert simulation.jobs(schedule) == []
    simulation.run(10)
    (job,) = simulation.jobs(schedule)
    assert job.missed is not None


def test_leases_of_a_leaped_clock_are_shortened(store: AnyStore) -> None:
    simulation = Simulation(store)
    moves = ClockMoves(store=store, clock=simulation.clock, lease=LEASE)
    ends = (NOON + LEASE, NOON + 2 * LEASE, NOON + FIVE_YEARS)
    found = []
    for end in ends:
        with store.begin() as tx:
            tx.jobs.add([a_job(due_at=NOON)], NOON)
            (claim,) = tx.jobs.claim(
                "default", worker="w", now=NOON, lease_until=end, limit=1, free_threads=1
            )
            found.append(claim.id)
    assert moves.correct().leases == 1
    with store.view() as tx:
        leases = [tx.jobs.get(ALL_OWNERS, each).lease_until for each in found]
        assert all(tx.jobs.get(ALL_OWNERS, each).state is JobState.RUNNING for each in found)
    assert leases == [NOON + LEASE, NOON + 2 * LEASE, NOON + LEASE]
    assert moves.correct().leases == 0


def test_retries_of_a_leaped_clock_are_due_at_once(store: AnyStore) -> None:
    """Jobs that a user has scheduled for later stay, and so do ordinary retries."""
    simulation, found = Simulation(store), []
    for began, due_at in (
        (NOON + FIVE_YEARS, NOON + FIVE_YEARS + timedelta(seconds=10)),
        (NOON, NOON + timedelta(hours=1)),
        (None, NOON + FIVE_YEARS),
    ):
        start = began or due_at
        with store.begin() as tx:
            (job,) = tx.jobs.add([a_job(due_at=start)], start if began else NOON)
            assert job is not None
            found.append(job.id)
            if began:
                (claim,) = tx.jobs.claim(
                    "default",
                    worker="w",
                    now=began,
                    lease_until=began + LEASE,
                    limit=1,
                    free_threads=1,
                )
                failed = TaskResult(
                    outcome=Outcome.FAILED, retry_after=(due_at - began).total_seconds()
                )
                assert tx.jobs.settle([settle(claim, failed, began, 0.5)])
    moves = ClockMoves(store=store, clock=simulation.clock, lease=LEASE)
    assert moves.correct().retries == 1
    with store.view() as tx:
        due = [tx.jobs.get(ALL_OWNERS, each).due_at for each in found]
    assert due == [NOON, NOON + timedelta(hours=1), NOON + FIVE_YEARS]
    assert moves.correct().retries == 0


def test_next_runs_that_the_rule_gives_are_left_alone(store: AnyStore) -> None:
    simulation = Simulation(store)
    yearly = simulation.add(cron=CronRule("@yearly"))
    later = simulation.add(starts_at=NOON + FIVE_YEARS)
    with store.begin() as tx:
        paused = tx.schedules.add(a_schedule(cron=EVERY_FIVE, paused_reason="ended"))
    moves = ClockMoves(store=store, clock=simulation.clock, lease=LEASE)
    assert moves.correct().schedules == 0
    for each in (yearly, later, paused):
        assert simulation.reload(each) == each
