"""Built-in schedules, which the service creates for itself."""

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
    """Creates the system's schedules and applies the settings to them."""

    store: Store[SchedulesTx]
    clock: Clock

    @retry_on_contention
    def ensure(
        self, name: str, task: str, cron: CronRule, parameters: Mapping[str, Any]
    ) -> Schedule:
        """
        Create or update the system's schedule of this name; return it.

        A deleted one is created again. A schedule that a user paused stays paused;
        one that failed runs have paused is resumed.
        """
        now, key = self.clock.now(), f"schedule {name}"
        with self.store.begin() as tx:
            tx.metadata.set(LOCK, "")  # serializes processes that start at once
            current = self._find(tx, tx.metadata.get(key))
            if current is None:
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
                tx.metadata.set(key, str(added.id))
                return added
            after = current if current.cron == cron else evolve(current, cron=cron).edited(now)
            if not after.is_active and after.paused_reason is not None:
                after = after.resume(now).touched(now)
            if after != current:
                tx.schedules.replace(after)
            return after

    def _find(self, tx: SchedulesTx, schedule_id: str | None) -> Schedule | None:
        """Return the schedule with an id, locked, unless it was deleted."""
        if schedule_id is None:
            return None
        try:
            return tx.schedules.get_for_update(ALL_OWNERS, ScheduleId(int(schedule_id)))
        except NotFound:  # deleted by a superuser
            return None
