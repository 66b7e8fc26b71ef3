"""A user's own notifications."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from attrs import frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.domain.notifications.notice import Notification, NotificationId
from workbell.ports.notifications.repository import NotificationsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command
from workbell.services.transaction_retry import retry_on_contention

MAX_AGE: Final = timedelta(days=365)
"""Age at which notifications are deleted."""
BATCH: Final = 500


@frozen(kw_only=True)
class NotificationService:
    """Lists a user's notifications and marks them as read."""

    store: Store[NotificationsTx]
    clock: Clock

    def list_page(
        self,
        actor: Actor,
        *,
        is_read: bool | None = None,
        before_id: NotificationId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[Notification], int]:
        """
        Return a page of the actor's notifications, newest first, and their number.

        The number is 0 for pages after `before_id`.

        Raises:
            NotAllowed: The actor is not signed in.
        """
        check(actor, Action.READ_NOTIFICATIONS, owner=actor.user_id)
        with self.store.view() as tx:
            return tx.notices.list_page(
                actor.user_id, is_read=is_read, before_id=before_id, offset=offset, limit=limit
            )

    @retry_on_contention
    def mark_read(self, actor: Actor, ids: Collection[NotificationId] | None) -> int:
        """
        Mark the actor's notifications, or (None) all of them, as read; return how many.

        Ids that are not the actor's are ignored.

        Raises:
            NotAllowed: The API key is read-only.
        """
        check(actor, Action.CHANGE_NOTIFICATIONS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            marked = tx.notices.mark_read(actor.user_id, ids, now)
            if marked:
                changes = {"read": [0, marked]}
                audit_command(
                    tx.audit, actor, "UPDATE", "notification", actor.user_id, now, changes
                )
        return marked

    @retry_on_contention
    def prune(self) -> int:
        """Delete notifications older than a year; return how many."""
        total, before = 0, self.clock.now() - MAX_AGE
        while True:
            with self.store.begin() as tx:
                pruned = tx.notices.prune(before, limit=BATCH)
            total += pruned
            if pruned < BATCH:
                return total
