"""Reminders as the store keeps them: who is next, and what they were told."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from workbell.domain.goals.reminder import Preferences, ReminderHistory, ReminderRecipient
from workbell.domain.identity.user import UserId
from workbell.ports.audit import AuditRepository
from workbell.ports.goals.repository import GoalRepository
from workbell.ports.identity.users import UserRepository
from workbell.ports.jobs.repository import JobRepository
from workbell.ports.schedules.repository import ScheduleRepository
from workbell.ports.store import StoreMetadata


class ReminderRepository(Protocol):
    """Who wants reminders and when, and what of which goal was said."""

    def preferences(self, owner: UserId) -> Preferences:
        """Return what a person prefers, or the defaults."""
        ...

    def save_preferences(self, owner: UserId, preferences: Preferences) -> None:
        """Keep what a person prefers; when they were reminded last stays."""
        ...

    def idle(self, after: UserId, before: datetime, *, limit: int) -> Sequence[UserId]:
        """
        Return people above an id, by id, who have an open goal idle since before a moment.

        Whatever they prefer: that is told by `lock`.
        """
        ...

    def due(self, now: datetime, *, limit: int) -> Sequence[UserId]:
        """Return people whose own time has come, the longest ago first."""
        ...

    def lock(self, owners: Sequence[UserId], before: datetime) -> Sequence[ReminderRecipient]:
        """
        Lock people's books, in the order of their ids, and return them as they stand.

        So nobody else reminds them, and nothing is logged, until the
        transaction ends. The goals are the open ones that have been idle
        since before a moment, by id. People who are not active users are left
        out.
        """
        ...

    def mark_reminded(
        self, days: Mapping[UserId, date], goals: Mapping[int, ReminderHistory]
    ) -> None:
        """Keep on which day people, who are locked, were reminded last, and of which goals."""
        ...

    def set_next_times(self, people: Mapping[UserId, Preferences], now: datetime) -> None:
        """
        Keep the `zone` and `next_at` of people whose own time has come.

        Whoever has chosen another time meanwhile is left alone.
        """
        ...


class RemindersTx(Protocol):
    """What reminders may touch within one transaction."""

    @property
    def users(self) -> UserRepository:
        """The people."""
        ...

    @property
    def goals(self) -> GoalRepository:
        """The goals."""
        ...

    @property
    def reminders(self) -> ReminderRepository:
        """The reminders."""
        ...

    @property
    def jobs(self) -> JobRepository:
        """The jobs that mail them."""
        ...

    @property
    def schedules(self) -> ScheduleRepository:
        """The schedules on which they go out."""
        ...

    @property
    def metadata(self) -> StoreMetadata:
        """Facts about the store itself."""
        ...

    @property
    def audit(self) -> AuditRepository:
        """The audit trail."""
        ...
