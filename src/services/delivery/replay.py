"""Replay: all failed deliveries of a destination are sent again, by a job."""

from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from workbell.domain.delivery.delivery import (
    LOST_ATTEMPTS,
    QUEUE,
    Delivery,
    DeliveryId,
    DeliveryState,
)
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.jobs.task import TaskContext
from workbell.ports.delivery.repository import DeliveryTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command
from workbell.services.delivery.access import get_destination
from workbell.services.delivery.fan_out import enqueue
from workbell.services.delivery.jobs import REPLAY_TASK, TIMEOUT_SECONDS
from workbell.services.transaction_retry import retry_on_contention

CHUNK: Final = 500
"""Deliveries per transaction."""
CLOCK_TOLERANCE: Final = timedelta(seconds=0.5)
"""How far the clocks of two processes may differ: each is wrong by up to 0.25 s."""


@frozen(kw_only=True)
class ReplayService:
    """
    Sends deliveries again that failed, or were parked, within a period.

    Each of them gets the whole retry schedule again, under its webhook id.
    """

    store: Store[DeliveryTx]
    clock: Clock

    @retry_on_contention
    def replay(
        self,
        actor: Actor,
        destination_id: DestinationId,
        since: datetime,
        until: datetime | None = None,
    ) -> Job:
        """
        Enqueue the job that replays a period; it belongs to the actor.

        The period ends 0.5 s from now at the latest: the worker whose clock is
        ahead may have written a later time to a delivery that has failed already.

        Raises:
            NotFound: The destination is not visible to the actor.
            NotAllowed: The actor may not retry its deliveries.
            Invalid: The period is empty.
        """
        now = self.clock.now()
        latest = now + CLOCK_TOLERANCE
        until = latest if until is None else min(until, latest)
        if since > until:
            raise Invalid.field("since", "must be before the end of the period, and not later")
        job = Job(
            owner=actor.user_id,
            task=REPLAY_TASK,
            name=f"Replay of destination {destination_id}",
            parameters={
                "destination": destination_id,
                "since": since.isoformat(),
                "until": until.isoformat(),
            },
            due_at=now,
            queue=QUEUE,
            max_attempts=LOST_ATTEMPTS,
            timeout_seconds=TIMEOUT_SECONDS,
            origin=JobOrigin.DELIVERY,
            created_at=now,
        )
        with self.store.begin() as tx:
            get_destination(tx, actor, destination_id, Action.RETRY_DELIVERIES)
            (added,) = tx.jobs.add([job], now)
            assert added is not None
            changes = {"job": [None, added.id]}
            audit_command(tx.audit, actor, "REPLAY", "destination", destination_id, now, changes)
        return added

    def run(
        self,
        destination_id: DestinationId,
        since: datetime,
        until: datetime,
        context: TaskContext,
    ) -> int:
        """
        Replay the period in chunks; return how many deliveries.

        A chunk that was replayed before the worker died is not replayed again:
        its deliveries wait, or have ended after the period.
        """
        total = self._count(destination_id, since, until)
        done = 0
        for state in (DeliveryState.FAILED, DeliveryState.PARKED):
            after: DeliveryId | None = None
            while True:
                context.check()
                chunk, after = self._replay_chunk(destination_id, state, since, until, after)
                done += chunk
                context.progress(done, max(total, done), "deliveries replayed")
                if after is None:
                    break
        return done

    def _count(self, destination_id: DestinationId, since: datetime, until: datetime) -> int:
        with self.store.view() as tx:
            failed = tx.deliveries.count(
                destination_id,
                [DeliveryState.FAILED],
                completed_from=since,
                completed_to=until,
            )
            return failed + tx.deliveries.count(destination_id, [DeliveryState.PARKED])

    @retry_on_contention
    def _replay_chunk(
        self,
        destination_id: DestinationId,
        state: DeliveryState,
        since: datetime,
        until: datetime,
        after: DeliveryId | None,
    ) -> tuple[int, DeliveryId | None]:
        """Replay a chunk; return its size and its last id, or None at the end."""
        now = self.clock.now()
        has_ended = state.is_final
        with self.store.begin() as tx:
            destination = tx.destinations.get_for_update(destination_id)
            if destination.deleted_at is not None:
                return 0, None
            found = tx.deliveries.lock_batch(
                destination_id,
                [state],
                completed_from=since if has_ended else None,
                completed_to=until if has_ended else None,
                after=after,
                limit=CHUNK,
            )
            again = [each.retry(now) for each in found if _is_within(each, since, until)]
            tx.deliveries.replace_many(again)
            enqueue(tx, [(delivery, destination) for delivery in again], now)
        return len(again), found[-1].id if len(found) == CHUNK else None


def _is_within(delivery: Delivery, since: datetime, until: datetime) -> bool:
    return since <= (delivery.completed_at or delivery.updated_at) <= until
