"""Cancellation of many waiting jobs, in batches."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.identity.permissions import Action, get_scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.task import Tasks
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.domain.schedules.ticks import SkipReason
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.schedules.runs import pause_without_runs
from workbell.services.transaction_retry import retry_on_contention

JOBS_PER_BATCH = 500
SCHEDULES_PER_BATCH = 25
PAGE = 500
MAX_COUNT = 10_000
INACTIVE = "owner inactive"


@frozen(kw_only=True)
class CancellationProgress:
    """A cancellation, and how many jobs are left, counting to 10,000."""

    cancellation: Cancellation
    left: int


@frozen(kw_only=True)
class CancellationService:
    """
    Cancels the waiting jobs of paused schedules and inactive owners.

    The command cancels the first 500 jobs and pauses the first 25 schedules; the
    sweeper continues with as many in each transaction.
    """

    store: Store[SchedulesTx]
    clock: Clock
    tasks: Tasks

    def sweep(self) -> bool:
        """Continue the oldest cancellation by one batch; return whether there is more."""
        with self.store.view() as tx:
            if not tx.cancellations.all(ALL_OWNERS, limit=1):
                return False
        return self._continue()

    def progress(self, actor: Actor) -> Sequence[CancellationProgress]:
        """Return the unfinished cancellations of the actor's jobs; superusers see all."""
        with self.store.view() as tx:
            found = tx.cancellations.all(get_scope(actor, Action.READ_JOBS))
            return [
                CancellationProgress(
                    cancellation=each, left=tx.cancellations.count_left(each, limit=MAX_COUNT)
                )
                for each in found
            ]

    @retry_on_contention
    def _continue(self) -> bool:
        with self.store.begin() as tx:
            cancellation = tx.cancellations.lock_next()
            if cancellation is None:
                return False
            if cancel_some(tx, cancellation, self.clock.now(), self.tasks):
                return True
            tx.cancellations.remove(cancellation)
        return True


def stop_owner(tx: SchedulesTx, owner: UserId, now: datetime, tasks: Tasks) -> None:
    """Pause the schedules of an owner and cancel the waiting jobs; the first ones at once."""
    wanted = Cancellation(
        owner=owner,
        last_job_id=tx.cancellations.last_job_id(owner, None),
        reason=INACTIVE,
        started_at=now,
    )
    stored = tx.cancellations.add(wanted)
    if not cancel_some(tx, stored, now, tasks):
        tx.cancellations.remove(stored)


def cancel_some(tx: SchedulesTx, cancellation: Cancellation, now: datetime, tasks: Tasks) -> bool:
    """
    Pause a batch of schedules, or cancel a batch of jobs; return whether there is more.

    Jobs follow once the schedules of an owner are paused.
    """
    excluded: list[str] = []
    if cancellation.schedule_id is None:
        if _pause_some(tx, cancellation, now):
            return True
        excluded = [task.key for task in tasks.all() if task.is_internal]
    read = tx.cancellations.cancel_jobs(
        cancellation, now, excluded_tasks=excluded, limit=JOBS_PER_BATCH
    )
    tx.cancellations.record(cancellation, read)
    return read >= JOBS_PER_BATCH


def _pause_some(tx: SchedulesTx, cancellation: Cancellation, now: datetime) -> bool:
    """Pause the next active schedules of an owner; return whether there are more."""
    found: list[Schedule] = []
    page = tx.schedules.active_after(ScheduleId(0), owner=cancellation.owner, limit=PAGE)
    while page and len(found) < SCHEDULES_PER_BATCH:
        # those changed later were resumed since
        found += [each for each in page if each.updated_at <= cancellation.started_at]
        page = tx.schedules.active_after(page[-1].id, owner=cancellation.owner, limit=PAGE)
    for schedule in found[:SCHEDULES_PER_BATCH]:
        _pause(tx, schedule.id, now)
    return len(found) >= SCHEDULES_PER_BATCH


def _pause(tx: SchedulesTx, schedule_id: ScheduleId, now: datetime) -> None:
    try:
        schedule = tx.schedules.get_for_update(ALL_OWNERS, schedule_id)
    except NotFound:  # deleted since it was read
        return
    if schedule.is_active:
        pause_without_runs(tx, schedule, now, SkipReason.OWNER_INACTIVE, INACTIVE)
