"""Quarantine: a schedule that cannot be processed is paused, and stops no other."""

from collections.abc import Callable, Iterable

from attrs import frozen

from workbell.domain.errors import Unavailable
from workbell.domain.schedules.schedule import ScheduleId
from workbell.ports.quarantine import QuarantineReporter
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.faults import describe_fault
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class ScheduleQuarantine:
    """Pauses schedules that cannot be processed, or stops their alerts."""

    store: Store[SchedulesTx]
    clock: Clock
    reporter: QuarantineReporter

    def tick_each(self, ids: Iterable[ScheduleId], action: Callable[[ScheduleId], object]) -> None:
        """Call an action for each schedule; pause those for which it fails."""
        self._each(ids, action, self._pause)

    def alert_each(self, ids: Iterable[ScheduleId], action: Callable[[ScheduleId], object]) -> None:
        """Call an action for each schedule; stop the alerts of those for which it fails."""
        self._each(ids, action, self._stop_alerts)

    def _each(
        self,
        ids: Iterable[ScheduleId],
        action: Callable[[ScheduleId], object],
        set_aside: Callable[[ScheduleId, str], None],
    ) -> None:
        for schedule_id in ids:
            try:
                action(schedule_id)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - the driver's, or of decoding the row
                set_aside(schedule_id, describe_fault(error))

    @retry_on_contention
    def _pause(self, schedule_id: ScheduleId, why: str) -> None:
        with self.store.begin() as tx:
            tx.schedules.quarantine(schedule_id, f"quarantined: {why}", self.clock.now())
        self.reporter.report("schedule", schedule_id, why)

    @retry_on_contention
    def _stop_alerts(self, schedule_id: ScheduleId, why: str) -> None:
        with self.store.begin() as tx:
            tx.schedules.stop_alerts(schedule_id)
        self.reporter.report("alert", schedule_id, why)
