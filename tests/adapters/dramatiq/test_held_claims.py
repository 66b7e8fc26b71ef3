"""Held claims: leases, lost claims, progress and log."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from attrs import define, field

from tests.adapters.dramatiq.factories import NOW, claim, settlement
from workbell.adapters.dramatiq.held_claims import HeldClaims
from workbell.domain.errors import Invalid
from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import JobId
from workbell.domain.jobs.task import (
    Cancelled,
    Interrupted,
    Isolation,
    OwnershipLost,
    ShuttingDown,
)
from workbell.ports.jobs.queues import WorkerInfo
from workbell.ports.schedules.repository import SchedulesTx
from workbell.services.jobs.execution import ExecutionService

INFO = WorkerInfo(
    id="w", host="h", pid=1, started_at=NOW, seen_at=NOW, threads=1, running=0, queues=()
)


@define
class FixedClock:
    """A clock that the test sets."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at


@define
class FakeExecution:
    """Records heartbeats, progress and log; a heartbeat returns `stop`."""

    stop: Mapping[JobId, bool] = field(factory=dict[JobId, bool])
    renewed: list[JobId] = field(factory=list[JobId])
    progress: list[float] = field(factory=list[float])
    lines: list[str] = field(factory=list[str])
    interrupted: list[tuple[JobId, type[Interrupted]]] = field(
        factory=list[tuple[JobId, type[Interrupted]]]
    )
    error: Exception | None = None

    def interrupt_child(self, job_id: JobId, why: type[Interrupted]) -> None:
        self.interrupted.append((job_id, why))

    def store_artifact(self, *_: Any) -> None:
        """Store no artifact."""

    def isolation_of(self, _: Claim) -> Isolation:
        """Run every body in a thread."""
        return Isolation.THREAD

    def heartbeat(self, claims: Sequence[Claim], _: WorkerInfo) -> Mapping[JobId, bool]:
        self.renewed += [each.id for each in claims]
        return self.stop

    def record_progress(self, progress: Any, lines: Mapping[JobId, Sequence[Any]]) -> None:
        if self.error is not None:
            raise self.error
        self.progress += [each.done for _, each in progress]
        self.lines += [line.text for each in lines.values() for line in each]


@pytest.fixture
def execution() -> FakeExecution:
    return FakeExecution()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def held(execution: FakeExecution, clock: FixedClock) -> HeldClaims:
    held = HeldClaims(cast(ExecutionService[SchedulesTx], execution), clock)
    held.add([claim(1), claim(2, timeout_seconds=3_600)])
    return held


def test_a_heartbeat_passes_on_cancellations_and_lost_claims(
    held: HeldClaims, execution: FakeExecution
) -> None:
    first, second = held.find(JobId(1)), held.find(JobId(2))
    assert first is not None
    assert second is not None
    execution.stop = {JobId(1): True}
    held.renew_leases(INFO)
    assert sorted(execution.renewed) == [1, 2]
    with pytest.raises(Cancelled):
        first.check()
    with pytest.raises(OwnershipLost):
        second.check()


def test_a_leap_of_the_clock_ends_no_renewal(
    held: HeldClaims, execution: FakeExecution, clock: FixedClock
) -> None:
    clock.at += timedelta(days=5 * 365)
    execution.stop = {JobId(1): False, JobId(2): False}
    held.renew_leases(INFO)
    assert sorted(execution.renewed) == [1, 2]


def test_a_settlement_releases_the_claim_of_its_token_only(held: HeldClaims) -> None:
    assert held.release_settled(settlement(1, token=9)) is None
    assert len(held) == 2
    context = held.release_settled(settlement(1))
    assert context is not None
    assert context.claim.id == 1
    assert held.release_settled(settlement(1)) is None
    held.release([JobId(1), JobId(2)])
    assert not held


def test_progress_and_log_are_stored_once(held: HeldClaims, execution: FakeExecution) -> None:
    context = held.find(JobId(1))
    assert context is not None
    context.log.info("began")
    context.progress(5)
    held.store_notes()
    held.store_notes()
    held.store_last_notes(context)
    assert (execution.progress, execution.lines) == ([5], ["began"])


def test_progress_that_cannot_be_stored_is_refused_in_the_body(
    held: HeldClaims, execution: FakeExecution
) -> None:
    context = held.find(JobId(1))
    assert context is not None
    context.progress(5, note="a\x00\ud800")
    with pytest.raises(Invalid):
        context.progress(float("nan"))
    held.store_notes()
    assert execution.progress == [5]


def test_a_log_that_cannot_be_stored_does_not_end_the_attempt(
    held: HeldClaims, execution: FakeExecution
) -> None:
    context = held.find(JobId(1))
    assert context is not None
    context.progress(5)
    execution.error = OSError("the disk is full")
    held.store_last_notes(context)


def test_a_shutdown_reaches_every_attempt(held: HeldClaims, execution: FakeExecution) -> None:
    held.shut_down()
    assert execution.interrupted == [(JobId(1), ShuttingDown), (JobId(2), ShuttingDown)]
    for number in (1, 2):
        context = held.find(JobId(number))
        assert context is not None
        with pytest.raises(ShuttingDown):
            context.check()
