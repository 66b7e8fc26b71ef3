"""The tick: reports what clocks have to report when their time comes."""

from datetime import datetime
from typing import Final

from attrs import frozen

from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.projects.sla.clock import SlaClock, advance
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.projects.sla.clocks import cancel_clocks, present_of
from workbell.services.projects.sla.recording import ClockRecorder
from workbell.services.projects.sla.transitions import ClockUpdate
from workbell.services.projects.sla.versions import PinnedVersions
from workbell.services.transaction_retry import retry_on_contention

TICK_BATCH: Final = 500
"""How many due clocks one transaction takes."""


@frozen(kw_only=True)
class SlaTicker:
    """
    Reports warnings, breaches and escalation steps that are due.

    Several processes may tick at once: each takes items that no other has locked.
    Events and their notices are stored with the clock in one transaction, so each
    is reported once, whenever a process ends.
    """

    store: Store[ProjectsTx]
    clock: Clock
    recorder: ClockRecorder

    def next_due(self) -> datetime | None:
        """Return when the next clock is due, or None."""
        with self.store.view() as tx:
            return tx.sla_clocks.next_due()

    def tick(self) -> int:
        """Report what is due, until nothing is; return the number of clocks."""
        total = 0
        while (due := self.next_due()) is not None and due <= self.clock.now():
            ticked = self.tick_batch()
            total += ticked
            if not ticked:  # another process holds the items
                break
        return total

    @retry_on_contention
    def tick_batch(self) -> int:
        """Report up to 500 clocks that are due in one transaction; return their number."""
        now = self.clock.now()
        with self.store.begin() as tx:
            ids = tx.sla_clocks.lock_due_items(now, limit=TICK_BATCH)
            if not ids:
                return 0
            items = {item.id: item for item in tx.work_items.lock_many(ALL_OWNERS, ids)}
            clocks = tx.sla_clocks.of_items(ids)
            versions = PinnedVersions.load(tx, {clock.pins for clock in clocks})
            deleted = [clock for clock in clocks if clock.work_item_id not in items]
            changes = [
                *cancel_clocks(deleted, versions, now),
                *(
                    ClockUpdate(*advance(clock, versions.rules(clock.pins), now))
                    for clock in clocks
                    if clock.work_item_id in items and _is_due(clock, now)
                ),
            ]
            self.recorder.record(tx, items, present_of(clocks), changes, versions, now)
            return len(changes)


def _is_due(clock: SlaClock, now: datetime) -> bool:
    return clock.next_event_at is not None and clock.next_event_at <= now
