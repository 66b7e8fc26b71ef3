"""Expectations: schedules that should have succeeded by now, and did not."""

from datetime import datetime

from attrs import frozen

from workbell.domain.schedules.schedule import Schedule
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.schedules.notices import tell_owner
from workbell.services.transaction_retry import done_again


@frozen(kw_only=True)
class Expectations:
    """
    Tell an owner once that a schedule is overdue, and once that it has recovered.

    Any number of processes may look; the guarded update lets one of them tell.
    """

    store: Store[SchedulesTx]
    clock: Clock

    @done_again
    def judge(self) -> int:
        """Look at the alerts that are due; return how many owners were told something."""
        now = self.clock.now()
        with self.store.view() as tx:
            due = [(each, _judged(tx, each, now)) for each in tx.schedules.to_judge(now)]
        if not due:
            return 0
        told = 0
        with self.store.begin() as tx:
            for before, after in sorted(due, key=lambda pair: pair[0].id):
                if tx.schedules.judge(before, after):
                    told += _tell(tx, before, after, now)
        return told


def _judged(tx: SchedulesTx, schedule: Schedule, now: datetime) -> Schedule:
    return schedule.judged(now, tx.schedules.last_success(schedule.id, schedule.expected_since))


def _tell(tx: SchedulesTx, before: Schedule, after: Schedule, now: datetime) -> bool:
    if (before.overdue_since is None) is (after.overdue_since is None):
        return False
    if after.overdue_since is None:
        tell_owner(tx, after, "recovered", "has succeeded again", now)
        return True
    since = f"{before.expected_since:%Y-%m-%d %H:%M} UTC"
    tell_owner(tx, after, "overdue", f"should have succeeded since {since}, and has not", now)
    return True
