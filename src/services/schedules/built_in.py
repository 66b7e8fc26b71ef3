"""Built-in schedules: those that the service itself keeps, like any other."""

from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

LOCK = "built-in schedules"


@frozen(kw_only=True)
class BuiltInSchedules:
    """Schedules of the system: made where they are absent, and kept to the settings."""

    store: Store[SchedulesTx]
    clock: Clock

    @retry_on_contention
    def ensure(
        self, name: str, task: str, cron: CronRule, parameters: Mapping[str, Any]
    ) -> Schedule:
        """
        Have a schedule of this name, by this rule; return it.

        One that was deleted is made anew. What was paused by hand stays
        paused; what was paused because its runs failed goes on.
        """
        now, fact = self.clock.now(), f"schedule {name}"
        with self.store.begin() as tx:
            tx.metadata.set(LOCK, "")  # whoever starts at the same time waits here
            kept = self._find(tx, tx.metadata.get(fact))
            if kept is None:
                new = Schedule(
                    owner=SYSTEM_ID,
                    task=task,
                    name=name,
                    cron=cron,
                    parameters=parameters,
                    created_at=now,
                    updated_at=now,
                )
                added = tx.schedules.add(new.resume(now))
                tx.metadata.set(fact, str(added.id))
                return added
            after = kept if kept.cron == cron else evolve(kept, cron=cron).edited(now)
            if not after.is_active and after.paused_reason is not None:
                after = after.resume(now).touched(now)
            if after != kept:
                tx.schedules.replace(after)
            return after

    def _find(self, tx: SchedulesTx, known: str | None) -> Schedule | None:
        """Return the schedule that a fact names, under lock, if it is still there."""
        if known is None:
            return None
        try:
            return tx.schedules.get_for_update(ALL_OWNERS, ScheduleId(int(known)))
        except NotFound:  # deleted by a superuser
            return None
