"""The tick: reports what clocks have to report when their time comes."""

from datetime import datetime
from typing import Final

from attrs import frozen

from workbell.domain.errors import Unavailable
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.projects.sla.clock import SlaClock, advance
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.quarantine import NO_REPORTER, QuarantineReporter
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.faults import describe_fault
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
    reporter: QuarantineReporter = NO_REPORTER

    def next_due(self) -> datetime | None:
        """Return when the next clock is due, or None; now if its time cannot be read."""
        try:
            with self.store.view() as tx:
                return tx.sla_clocks.next_due()
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of one of the clocks, which the tick quarantines
            return self.clock.now()

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
        """
        Report up to 500 clocks that are due in one transaction; return their number.

        If that fails for one of the items, each is reported by itself, and the clocks
        of an item that cannot be reported wait for no event any more.
        """
        now = self.clock.now()
        try:
            return self._tick(now, None)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of one of the items
            with self.store.view() as tx:
                ids = tx.sla_clocks.list_due_items(now, limit=TICK_BATCH)
        return sum(self._tick_item(now, item_id) for item_id in ids)

    def _tick_item(self, now: datetime, item_id: WorkItemId) -> int:
        """Report the clocks of an item, or quarantine them."""
        try:
            return self._tick(now, item_id)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the driver's, or of decoding the rows
            with self.store.begin() as tx:
                clocks = tx.sla_clocks.quarantine(item_id, now)
            for clock_id in clocks:
                self.reporter.report("sla_clock", clock_id, describe_fault(error))
            return len(clocks)

    def _tick(self, now: datetime, only: WorkItemId | None) -> int:
        with self.store.begin() as tx:
            ids = tx.sla_clocks.lock_due_items(now, limit=TICK_BATCH, only=only)
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
