"""Alerts for schedules without a success in time."""

from datetime import datetime

from attrs import frozen

from workbell.domain.errors import Unavailable
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.ports.quarantine import NO_REPORTER, QuarantineReporter
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.schedules.notices import mail_owner
from workbell.services.schedules.quarantine import ScheduleQuarantine
from workbell.services.transaction_retry import retry_on_contention

BATCH = 500


@frozen(kw_only=True)
class Evaluated:
    """The number of emails sent, and whether more alerts may be due."""

    emails: int = 0
    has_more: bool = False


@frozen(kw_only=True)
class OverdueAlerts:
    """
    Emails an owner once when a schedule is overdue and when it recovers.

    Several processes may evaluate the same alerts: a guarded update lets only
    one of them send the email.
    """

    store: Store[SchedulesTx]
    clock: Clock
    reporter: QuarantineReporter = NO_REPORTER

    @retry_on_contention
    def evaluate_due(self) -> Evaluated:
        """Evaluate a batch of the alerts that are due, the oldest ones first."""
        now = self.clock.now()
        try:
            return self._evaluate(now, None)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of one of the schedules
            with self.store.view() as tx:
                ids = tx.schedules.list_due_alerts(now, limit=BATCH)
        emails: list[int] = []
        quarantine = ScheduleQuarantine(store=self.store, clock=self.clock, reporter=self.reporter)
        quarantine.alert_each(ids, lambda each: emails.append(self._evaluate(now, each).emails))
        return Evaluated(emails=sum(emails), has_more=len(ids) == BATCH)

    def _evaluate(self, now: datetime, only: ScheduleId | None) -> Evaluated:
        with self.store.view() as tx:
            found = tx.schedules.due_alerts(now, only=only, limit=BATCH)
            due = [(each, _evaluate(tx, each, now)) for each in found]
        if not due:
            return Evaluated()
        emails = 0
        with self.store.begin() as tx:
            for before, after in sorted(due, key=lambda pair: pair[0].id):
                if tx.schedules.save_alert(before, after):
                    emails += _notify(tx, before, after, now)
        return Evaluated(emails=emails, has_more=len(due) == BATCH)


def _evaluate(tx: SchedulesTx, schedule: Schedule, now: datetime) -> Schedule:
    return schedule.evaluate_alert(
        now, tx.schedules.last_success(schedule.id, schedule.alert_baseline)
    )


def _notify(tx: SchedulesTx, before: Schedule, after: Schedule, now: datetime) -> bool:
    if (before.overdue_since is None) is (after.overdue_since is None):
        return False
    if after.overdue_since is None:
        mail_owner(tx, after, "recovered", "has succeeded again", now)
        return True
    since = f"{before.alert_baseline:%Y-%m-%d %H:%M} UTC"
    mail_owner(tx, after, "overdue", f"should have succeeded since {since}, and has not", now)
    return True
