"""Daily summaries: one per user and local day, at the user's time."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from workbell.domain.cron.time_zones import load_zone
from workbell.domain.errors import NotFound
from workbell.domain.identity.user import User, UserId
from workbell.domain.notifications.digest import Digest, DigestItem
from workbell.domain.notifications.notice import Notice, NoticeKind, Notification
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.ports.notifications.repository import NotificationsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.notifications.dispatch import Notifier
from workbell.services.notifications.hooks import (
    DailyDigest,
    MayReceive,
    everyone_may_receive,
    no_tasks,
)
from workbell.services.transaction_retry import retry_on_contention

PAGE: Final = 50
"""Users per transaction."""
ONE_DAY: Final = timedelta(days=1)
MAX_NOTICES: Final = 500

TxT = TypeVar("TxT", bound=NotificationsTx)


@frozen(kw_only=True)
class DailySummaryService(Generic[TxT]):
    """
    Notifies users of what is due, and of what is new since a day before.

    Only users who want the summary by email get one, and only if it is not empty.
    A run that fails can be repeated: each user is notified once a local day.
    """

    store: Store[TxT]
    clock: Clock
    notifier: Notifier
    digest: DailyDigest[TxT] = no_tasks
    may_receive: MayReceive[TxT] = everyone_may_receive

    def run(self, on_page: Callable[[int], None]) -> tuple[int, int]:
        """
        Summarise for the users whose time has come; return counts checked, notified.

        `on_page` is called after each page with the number of users checked; it may
        raise to stop.
        """
        checked = notified = 0
        while True:
            with self.store.view() as tx:
                users = tx.preferences.list_due_summaries(self.clock.now(), limit=PAGE)
            if not users:
                return checked, notified
            notified += self._summarise(users)
            checked += len(users)
            on_page(checked)

    def compose(self, tx: TxT, user: User, notification: Notification) -> Mapping[str, Any] | None:
        """Return the present content of a summary, or None if nothing is left to report."""
        digest = self._build(tx, user, notification.created_at)
        return None if digest.is_empty else {**notification.data, **digest.as_data()}

    @retry_on_contention
    def _summarise(self, user_ids: Sequence[UserId]) -> int:
        now = self.clock.now()
        with self.store.begin() as tx:
            preferences = tx.preferences.get_many(user_ids)
            found = {user_id: self._find_active(tx, user_id) for user_id in user_ids}
            notices = [
                _make_notice(user, now)
                for user in found.values()
                if user is not None
                and _is_due(user, preferences[user.id], now)
                and not self._build(tx, user, now).is_empty
            ]
            # inactive users may be active again tomorrow
            zones = {id_: "UTC" if user is None else user.time_zone for id_, user in found.items()}
            after = {
                id_: each.with_next_summary(now, zones[id_]) for id_, each in preferences.items()
            }
            tx.preferences.set_next_summaries(after, now)
            return len(self.notifier.notify(tx, *notices))

    def _find_active(self, tx: TxT, user_id: UserId) -> User | None:
        try:
            user = tx.users.get(user_id)
        except NotFound:
            return None
        return user if user.is_active else None

    def _build(self, tx: TxT, user: User, now: datetime) -> Digest:
        """Return the content as of a time: tasks of that local day, notices of 24 hours."""
        overdue, due = self.digest(tx, user, _local_day(user, now), now)
        new = tx.notices.list_since(
            user.id,
            [NoticeKind.ASSIGNMENT, NoticeKind.MENTION],
            now - ONE_DAY,
            limit=MAX_NOTICES,
        )
        visible = [row for row in new if self.may_receive(tx, user.id, row)]
        return Digest(
            overdue=overdue,
            due=due,
            assigned=_items(visible, NoticeKind.ASSIGNMENT),
            mentioned=_items(visible, NoticeKind.MENTION),
        )


def _is_due(user: User, preferences: NoticePreferences, now: datetime) -> bool:
    """Whether the summary is due, and the user's time zone is still the same."""
    at = preferences.summary_at
    return at is not None and at <= now and preferences.zone == user.time_zone


def _local_day(user: User, now: datetime) -> date:
    return now.astimezone(load_zone(user.time_zone)).date()


def _make_notice(user: User, now: datetime) -> Notice:
    day = _local_day(user, now).isoformat()
    return Notice(
        kind=NoticeKind.DAILY_SUMMARY,
        key=day,
        recipients=[user.id],
        title=f"Daily summary of {day}",
        data={"day": day},
    )


def _items(rows: Sequence[Notification], kind: NoticeKind) -> Sequence[DigestItem]:
    """Return one item per object, the newest first."""
    first = {
        (row.project_id, row.object_id, row.title): row
        for row in reversed(rows)
        if row.kind is kind
    }
    return [
        DigestItem(title=row.title)
        for row in sorted(first.values(), key=lambda row: row.id, reverse=True)
    ]
