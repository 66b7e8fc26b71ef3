"""Reminders: who leaves goals alone is told, once a day at most."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from attrs import evolve, frozen

from workbell.domain.audit import AuditEntry
from workbell.domain.errors import NotFound
from workbell.domain.goals.goal import Goal, GoalState
from workbell.domain.goals.local_days import local_day
from workbell.domain.goals.reminder import (
    INACTIVE_DAYS,
    IdleGoal,
    Preferences,
    ReminderRecipient,
    check_reminder_time,
    idle_before,
    mail_key,
    message,
)
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.notifications.unsubscribe import Category, UnsubscribeTokens, Unsubscription
from workbell.ports.goals.reminders import RemindersTx
from workbell.ports.goals.repository import GoalFilter
from workbell.ports.mail import Email
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.transaction_retry import retry_on_contention

PAGE = 200
"""People of one transaction: short enough that nobody waits for it."""
MAIL_TASK = "goals.mail_reminder"
MAIL_ATTEMPTS = 10
MOST_GOALS = 1_000
ANOTHER_DAY = timedelta(days=1)
UNSUBSCRIBE = "/api/v1/unsubscribe/"

Watch = Callable[[int], None]
"""Told after every page how many people have been looked at; it may raise to stop."""


@frozen(kw_only=True)
class ReminderService:
    """
    Find out who is to be reminded, and of what; keep what people prefer.

    A page of people is one transaction: it locks them, makes the jobs that
    mail them, and marks them as reminded. So a run that dies is done again
    from its start without telling anybody twice, and forgets nobody.
    """

    store: Store[RemindersTx]
    clock: Clock
    tokens: UnsubscribeTokens
    public_url: str
    inactive_days: int = INACTIVE_DAYS

    def remind_at_default_time(self, watch: Watch) -> tuple[int, int]:
        """Remind those without a time of their own; return how many were looked at and told."""
        looked = told = 0
        after = UserId(0)
        while True:
            before = idle_before(self.clock.now(), self.inactive_days)
            with self.store.view() as tx:
                owners = tx.reminders.idle(after, before, limit=PAGE)
            if not owners:
                return looked, told
            told += self._remind(owners, own_times=False)
            looked, after = looked + len(owners), owners[-1]
            watch(looked)

    def remind_at_own_times(self, watch: Watch) -> tuple[int, int]:
        """Remind those whose own time has come; return how many were looked at and told."""
        looked = told = 0
        while True:
            with self.store.view() as tx:
                owners = tx.reminders.due(self.clock.now(), limit=PAGE)
            if not owners:
                return looked, told
            told += self._remind(owners, own_times=True)
            looked += len(owners)
            watch(looked)

    def compose_email(self, user_id: UserId, day: date, goals: Sequence[int]) -> Email | None:
        """
        Return the mail of a day about some goals, or None if it is not wanted any more.

        It is left out what has been taken up, put aside or deleted meanwhile.
        """
        with self.store.view() as tx:
            try:
                user = tx.users.get(user_id)
            except NotFound:
                return None
            wanted = tx.reminders.preferences(user_id)
            still_open = tx.goals.find(
                user_id,
                GoalFilter(ids=goals, states=[GoalState.ACTIVE], is_complete=False),
                ordering=["id"],
                limit=MOST_GOALS,
            )
        left = [goal for goal in still_open if _is_idle(goal, user, day)]
        if not left or not user.is_active or not wanted.reminders:
            return None
        return self._compose(user, left)

    def preferences(self, actor: Actor) -> Preferences:
        """Return what the actor prefers."""
        with self.store.view() as tx:
            return tx.reminders.preferences(actor.user_id)

    @retry_on_contention
    def save_preferences(self, actor: Actor, wanted: Preferences) -> Preferences:
        """
        Keep what the actor prefers.

        Raises:
            Invalid: The time lies between two quarter hours.
            NotAllowed: They ask with an API key that may only read.
            NotFound: The actor is nobody who has signed up.
        """
        check(actor, Action.CHANGE_PROFILE, owner=actor.user_id)
        check_reminder_time(wanted.reminder_time)
        with self.store.begin() as tx:
            zone = tx.users.get(actor.user_id).time_zone
            self._save(tx, actor, wanted, zone)
        return wanted

    def parse_unsubscribe_token(self, token: str) -> Unsubscription:
        """
        Return whose mails a link ends, and of which kind; nothing is done.

        Raises:
            NotFound: It is no link of ours.
        """
        return self.tokens.read(token)

    @retry_on_contention
    def unsubscribe(self, token: str, client_info: ClientInfo) -> Unsubscription:
        """
        End what a link stands for, for good; it may be used again.

        Raises:
            NotFound: It is no link of ours.
        """
        what = self.tokens.read(token)
        actor = Actor(user_id=what.owner, client_info=client_info)
        with self.store.begin() as tx:
            wanted = evolve(tx.reminders.preferences(what.owner), reminders=False)
            self._save(tx, actor, wanted, "UTC")
        return what

    @retry_on_contention
    def _remind(self, owners: Sequence[UserId], *, own_times: bool) -> int:
        """Remind those of a page whose turn it is; return how many are told."""
        now = self.clock.now()
        with self.store.begin() as tx:
            seen = tx.reminders.lock(owners, idle_before(now, self.inactive_days))
            people = [person for person in seen if person.has_own_time is own_times]
            due = {person.owner: person.due(now, self.inactive_days) for person in people}
            told = [(person, due[person.owner]) for person in people if due[person.owner]]
            if told:
                days = {person.owner: local_day(now, person.zone) for person, _ in told}
                tx.jobs.add([self._mail(p, goals, days[p.owner]) for p, goals in told], now)
                marks = {
                    goal.id: goal.after_reminder(days[person.owner], person.zone)
                    for person, goals in told
                    for goal in goals
                }
                tx.reminders.mark_reminded(days, marks)
            if own_times:
                tx.reminders.set_next_times(self._next_times(owners, people), now)
        return len(told)

    def _next_times(
        self, owners: Sequence[UserId], people: Sequence[ReminderRecipient]
    ) -> dict[UserId, Preferences]:
        """Return when those with a time of their own are looked at next."""
        now = self.clock.now()
        # whoever is not active now may be tomorrow: their zone is looked up then
        gone = set(owners) - {person.owner for person in people}
        later = {owner: Preferences(next_at=now + ANOTHER_DAY) for owner in gone}
        aimed = {
            person.owner: person.preferences.with_next_run(now, person.zone)
            for person in people
            if person.preferences.next_at is not None
        }
        return later | aimed

    def _mail(self, person: ReminderRecipient, goals: Sequence[IdleGoal], day: date) -> Job:
        now = self.clock.now()
        parameters = {
            "user_id": person.owner,
            "day": day.isoformat(),
            "goals": [goal.id for goal in goals[:MOST_GOALS]],
        }
        return Job(
            task=MAIL_TASK,
            name=f"Reminder of {day}",
            parameters=parameters,
            due_at=now,
            max_attempts=MAIL_ATTEMPTS,
            origin=JobOrigin.REMINDER,
            fair_key=MAIL_TASK,  # so that no other work of the system waits behind them all
            idempotency_key=mail_key(person.owner, day),
            created_at=now,
        )

    def _compose(self, user: User, goals: Sequence[Goal]) -> Email:
        """Return the mail; what people have typed goes to verified addresses only."""
        names = [goal.name for goal in goals] if user.is_email_verified else []
        subject, text = message(names, len(goals), self.inactive_days)
        token = self.tokens.make(Unsubscription(user.id, Category.REMINDERS))
        link = f"{self.public_url}{UNSUBSCRIBE}{token}"
        footer = f"\nNo more reminders, without signing in: {link}\n"
        return Email(to=user.email, subject=subject, text=text + footer, unsubscribe=link)

    def _save(self, tx: RemindersTx, actor: Actor, wanted: Preferences, zone: str) -> None:
        now = self.clock.now()
        before = tx.reminders.preferences(actor.user_id)
        changes = {
            name: [was, will]
            for name in ("reminders", "reminder_time")
            if (was := _shown(before, name)) != (will := _shown(wanted, name))
        }
        tx.reminders.save_preferences(actor.user_id, wanted.with_next_run(now, zone))
        if changes:
            tx.audit.add(
                AuditEntry.of(
                    actor, "UPDATE", "notification_preferences", actor.user_id, now, changes
                )
            )


def _shown(preferences: Preferences, name: str) -> bool | str | None:
    if name == "reminders":
        return preferences.reminders
    at = preferences.reminder_time
    return None if at is None else at.isoformat("minutes")


def _is_idle(goal: Goal, user: User, day: date) -> bool:
    """Whether nothing has been logged since before the day of the reminder."""
    return local_day(goal.active_at, user.time_zone) < day
