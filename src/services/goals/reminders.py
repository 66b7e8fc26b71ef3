"""Reminders of idle goals, at most one email per user and day."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from attrs import evolve, frozen

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.errors import NotFound
from workbell.domain.goals.goal import Goal, GoalState
from workbell.domain.goals.local_days import local_day
from workbell.domain.goals.reminder import (
    INACTIVE_DAYS,
    IdleGoal,
    Preferences,
    ReminderRecipient,
    check_reminder_time,
    compose_reminder,
    idle_cutoff,
    reminder_key,
)
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.notifications.unsubscribe import (
    EmailCategory,
    UnsubscribeTokens,
    Unsubscription,
)
from workbell.ports.goals.reminders import RemindersTx
from workbell.ports.goals.repository import GoalFilter
from workbell.ports.mail import Email
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import changed_values
from workbell.services.transaction_retry import retry_on_contention

PAGE = 200  # users per transaction
MAIL_TASK = "goals.mail_reminder"
MAIL_ATTEMPTS = 10
MAX_GOALS = 1_000
ONE_DAY = timedelta(days=1)
UNSUBSCRIBE = "/api/v1/unsubscribe/"

OnPage = Callable[[int], None]
"""Called after each page with the number of users checked; may raise to stop."""


@frozen(kw_only=True)
class ReminderService:
    """
    Finds users to remind and stores their preferences.

    One transaction locks a page of users, enqueues their emails and marks them
    as reminded, so a run that fails can be repeated without duplicates.
    """

    store: Store[RemindersTx]
    clock: Clock
    tokens: UnsubscribeTokens
    public_url: str
    inactive_days: int = INACTIVE_DAYS

    def remind_at_default_time(self, on_page: OnPage) -> tuple[int, int]:
        """Remind users without their own time; return counts checked, reminded."""
        checked = reminded = 0
        after = UserId(0)
        while True:
            before = idle_cutoff(self.clock.now(), self.inactive_days)
            with self.store.view() as tx:
                owners = tx.reminders.idle(after, before, limit=PAGE)
            if not owners:
                return checked, reminded
            reminded += self._remind(owners, own_times=False)
            checked, after = checked + len(owners), owners[-1]
            on_page(checked)

    def remind_at_own_times(self, on_page: OnPage) -> tuple[int, int]:
        """Remind users whose own time is due; return counts as above."""
        checked = reminded = 0
        while True:
            with self.store.view() as tx:
                owners = tx.reminders.due(self.clock.now(), limit=PAGE)
            if not owners:
                return checked, reminded
            reminded += self._remind(owners, own_times=True)
            checked += len(owners)
            on_page(checked)

    def compose_email(self, user_id: UserId, day: date, goals: Sequence[int]) -> Email | None:
        """
        Return a user's email about goals, or None if it is no longer wanted.

        Goals that are no longer idle, open and active are left out.
        """
        with self.store.view() as tx:
            try:
                user = tx.users.get(user_id)
            except NotFound:
                return None
            preferences = tx.reminders.preferences(user_id)
            open_goals = tx.goals.find(
                user_id,
                GoalFilter(ids=goals, states=[GoalState.ACTIVE], is_complete=False),
                ordering=["id"],
                limit=MAX_GOALS,
            )
        idle_goals = [goal for goal in open_goals if _is_idle(goal, user, day)]
        if not idle_goals or not user.is_active or not preferences.reminders:
            return None
        return self._compose(user, idle_goals)

    def preferences(self, actor: Actor) -> Preferences:
        """Return the actor's preferences."""
        with self.store.view() as tx:
            return tx.reminders.preferences(actor.user_id)

    @retry_on_contention
    def save_preferences(self, actor: Actor, preferences: Preferences) -> Preferences:
        """
        Store the actor's preferences.

        Raises:
            Invalid: The time is not a multiple of 15 minutes.
            NotAllowed: The API key is read-only.
        """
        check(actor, Action.CHANGE_PROFILE, owner=actor.user_id)
        check_reminder_time(preferences.reminder_time)
        with self.store.begin() as tx:
            zone = tx.users.get(actor.user_id).time_zone
            self._save(tx, actor, preferences, zone)
        return preferences

    def parse_unsubscribe_token(self, token: str) -> Unsubscription:
        """Return the content of an unsubscribe token; raises NotFound."""
        return self.tokens.parse(token)

    @retry_on_contention
    def unsubscribe(self, token: str, client_info: ClientInfo) -> Unsubscription:
        """Turn off the emails that a token names; raises NotFound."""
        unsubscription = self.tokens.parse(token)
        actor = Actor(user_id=unsubscription.owner, client_info=client_info)
        with self.store.begin() as tx:
            preferences = evolve(tx.reminders.preferences(unsubscription.owner), reminders=False)
            self._save(tx, actor, preferences, "UTC")
        return unsubscription

    @retry_on_contention
    def _remind(self, owners: Sequence[UserId], *, own_times: bool) -> int:
        """Remind the due users of a page; return how many were reminded."""
        now = self.clock.now()
        with self.store.begin() as tx:
            locked = tx.reminders.lock(owners, idle_cutoff(now, self.inactive_days))
            users = [user for user in locked if user.has_own_time is own_times]
            to_remind = [
                (user, goals) for user in users if (goals := user.due(now, self.inactive_days))
            ]
            if to_remind:
                days = {user.owner: local_day(now, user.zone) for user, _ in to_remind}
                tx.jobs.add(
                    [self._make_mail_job(u, goals, days[u.owner]) for u, goals in to_remind], now
                )
                marks = {
                    goal.id: goal.after_reminder(days[user.owner], user.zone)
                    for user, goals in to_remind
                    for goal in goals
                }
                tx.reminders.mark_reminded(days, marks)
            if own_times:
                tx.reminders.set_next_times(self._next_times(owners, users), now)
        return len(to_remind)

    def _next_times(
        self, owners: Sequence[UserId], users: Sequence[ReminderRecipient]
    ) -> dict[UserId, Preferences]:
        """Return preferences with the next time of users with their own."""
        now = self.clock.now()
        # users who are inactive now may be active tomorrow: check them again then
        absent = set(owners) - {user.owner for user in users}
        later = {owner: Preferences(next_at=now + ONE_DAY) for owner in absent}
        scheduled = {
            user.owner: user.preferences.with_next_run(now, user.zone)
            for user in users
            if user.preferences.next_at is not None
        }
        return later | scheduled

    def _make_mail_job(self, user: ReminderRecipient, goals: Sequence[IdleGoal], day: date) -> Job:
        now = self.clock.now()
        parameters = {
            "user_id": user.owner,
            "day": day.isoformat(),
            "goals": [goal.id for goal in goals[:MAX_GOALS]],
        }
        return Job(
            task=MAIL_TASK,
            name=f"Reminder of {day}",
            parameters=parameters,
            due_at=now,
            max_attempts=MAIL_ATTEMPTS,
            origin=JobOrigin.REMINDER,
            fair_key=MAIL_TASK,  # a bulk of reminders does not delay other jobs of the system
            idempotency_key=reminder_key(user.owner, day),
            created_at=now,
        )

    def _compose(self, user: User, goals: Sequence[Goal]) -> Email:
        """Return the email; goal names go to verified addresses only."""
        names = [goal.name for goal in goals] if user.is_email_verified else []
        subject, text = compose_reminder(names, len(goals), self.inactive_days)
        token = self.tokens.make(Unsubscription(user.id, EmailCategory.REMINDERS))
        link = f"{self.public_url}{UNSUBSCRIBE}{token}"
        footer = f"\nUnsubscribe without signing in: {link}\n"
        return Email(to=user.email, subject=subject, text=text + footer, unsubscribe=link)

    def _save(self, tx: RemindersTx, actor: Actor, preferences: Preferences, zone: str) -> None:
        now = self.clock.now()
        before = tx.reminders.preferences(actor.user_id)
        changes = changed_values(_audited_values(before), _audited_values(preferences))
        tx.reminders.save_preferences(actor.user_id, preferences.with_next_run(now, zone))
        if changes:
            tx.audit.add(
                AuditEntry.of(
                    actor, "UPDATE", "notification_preferences", actor.user_id, now, changes
                )
            )


def _audited_values(preferences: Preferences) -> dict[str, object]:
    at = preferences.reminder_time
    return {"reminders": preferences.reminders, "reminder_time": at and at.isoformat("minutes")}


def _is_idle(goal: Goal, user: User, day: date) -> bool:
    """Whether nothing was logged on the reminder's day or later."""
    return local_day(goal.active_at, user.time_zone) < day
