"""Moves of the store's clock: correct what it has left in the future."""

from datetime import datetime, timedelta

from attrs import frozen

from workbell.domain.clock_check import MAX_LEAP
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.schedules.schedule import ScheduleId
from workbell.ports.schedules.repository import SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

METADATA_NAME = "last scheduler pass"
SOON = timedelta(hours=1)
"""Next runs within this time are not checked: they soon happen, and set the next."""
BATCH = 500


@frozen(kw_only=True)
class Corrections:
    """How many schedules, leases and retries were corrected."""

    schedules: int
    leases: int
    retries: int


@frozen(kw_only=True)
class ClockMoves:
    """
    Remembers the last pass of a scheduler, and corrects rows after a leap.

    While the clock was ahead, schedules, leases and retries got times that may be
    years away once it is right again.
    """

    store: Store[SchedulesTx]
    clock: Clock
    lease: timedelta

    def last_pass(self) -> datetime | None:
        """Return when a scheduler of this store made its last recorded pass."""
        with self.store.view() as tx:
            text = tx.metadata.get(METADATA_NAME)
        return None if text is None else datetime.fromisoformat(text)

    @retry_on_contention
    def record_pass(self) -> None:
        """Record that a scheduler makes a pass now."""
        with self.store.begin() as tx:
            tx.metadata.set(METADATA_NAME, self.clock.now().isoformat())

    def correct(self) -> Corrections:
        """Correct next runs, leases and retries that are too far in the future."""
        now, corrected, after = self.clock.now(), 0, ScheduleId(0)
        while True:
            with self.store.view() as tx:
                page = tx.schedules.list_ahead(now + SOON, after=after, limit=BATCH)
            if not page:
                break
            after = page[-1].id
            for schedule in page:
                if schedule.corrected(now) is not schedule:
                    corrected += self._correct(schedule.id, now)
        leases, retries = self._correct_jobs(now)
        return Corrections(schedules=corrected, leases=leases, retries=retries)

    @retry_on_contention
    def _correct(self, schedule_id: ScheduleId, now: datetime) -> bool:
        with self.store.begin() as tx:
            try:
                current = tx.schedules.get_for_update(ALL_OWNERS, schedule_id)
            except NotFound:  # deleted since it was read
                return False
            after = current.corrected(now)
            if after is not current:
                tx.schedules.replace(after.touched(now))
        return after is not current

    @retry_on_contention
    def _correct_jobs(self, now: datetime) -> tuple[int, int]:
        with self.store.begin() as tx:
            leases = tx.jobs.shorten_leases(now + 2 * self.lease, now + self.lease)
            return leases, tx.jobs.hasten_retries(now + MAX_LEAP, now)
