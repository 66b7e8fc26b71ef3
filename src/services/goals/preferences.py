"""Preferences for notifications and goal reminders, as one resource."""

from typing import Any

from attrs import Factory, evolve, frozen

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.goals.reminder import ReminderPreferences
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.user import User
from workbell.domain.notifications.daily_time import check_quarter_hour
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.domain.notifications.unsubscribe import (
    EmailCategory,
    UnsubscribeTokens,
    Unsubscription,
)
from workbell.ports.goals.reminders import RemindersTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import changed_values
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class Preferences:
    """All preferences of a user; the fields' defaults are those of new users."""

    notices: NoticePreferences = Factory(NoticePreferences)
    reminders: ReminderPreferences = Factory(ReminderPreferences)

    def unsubscribed(self, category: EmailCategory) -> "Preferences":
        """Return the preferences without emails of a category."""
        changed = self
        if category in {EmailCategory.ALL, EmailCategory.REMINDERS}:
            changed = evolve(changed, reminders=evolve(self.reminders, reminders=False))
        if category is not EmailCategory.REMINDERS:
            changed = evolve(changed, notices=self.notices.without_email(category.kind))
        return changed


@frozen(kw_only=True)
class PreferenceService:
    """Reads and changes preferences, also by links that need no login."""

    store: Store[RemindersTx]
    clock: Clock
    tokens: UnsubscribeTokens

    def get(self, actor: Actor) -> Preferences:
        """Return the actor's preferences."""
        with self.store.view() as tx:
            return _read(tx, actor)

    @retry_on_contention
    def save(self, actor: Actor, preferences: Preferences) -> Preferences:
        """
        Replace the actor's preferences.

        Raises:
            Invalid: A time is not a multiple of 15 minutes.
            NotAllowed: The API key is read-only.
        """
        check(actor, Action.CHANGE_PROFILE, owner=actor.user_id)
        check_quarter_hour("reminder_time", preferences.reminders.reminder_time)
        check_quarter_hour("daily_summary_time", preferences.notices.summary_time)
        with self.store.begin() as tx:
            user = tx.users.get_for_update(actor.user_id)
            self._save(tx, actor, user, preferences)
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
            user = tx.users.get_for_update(actor.user_id)
            wanted = _read(tx, actor).unsubscribed(unsubscription.category)
            self._save(tx, actor, user, wanted)
        return unsubscription

    def _save(self, tx: RemindersTx, actor: Actor, user: User, wanted: Preferences) -> None:
        now = self.clock.now()
        changes = changed_values(_audited_values(_read(tx, actor)), _audited_values(wanted))
        reminders = wanted.reminders.with_next_run(now, user.time_zone)
        tx.reminders.save_preferences(actor.user_id, reminders)
        notices = wanted.notices.with_next_summary(now, user.time_zone)
        tx.preferences.save(actor.user_id, notices)
        if changes:
            tx.audit.add(
                AuditEntry.of(
                    actor, "UPDATE", "notification_preferences", actor.user_id, now, changes
                )
            )


def _read(tx: RemindersTx, actor: Actor) -> Preferences:
    return Preferences(
        notices=tx.preferences.get(actor.user_id),
        reminders=tx.reminders.preferences(actor.user_id),
    )


def _audited_values(preferences: Preferences) -> dict[str, Any]:
    """Return the preferences by field, those of a kind as `email.kind`."""
    notices, reminders = preferences.notices, preferences.reminders
    reminder_at, summary_at = reminders.reminder_time, notices.summary_time
    return {
        "reminders": reminders.reminders,
        "reminder_time": reminder_at and reminder_at.isoformat("minutes"),
        "daily_summary_time": summary_at and summary_at.isoformat("minutes"),
        **{f"email.{kind}": kind in notices.email for kind in NoticeKind},
        **{f"in_app.{kind}": kind in notices.in_app for kind in NoticeKind},
    }
