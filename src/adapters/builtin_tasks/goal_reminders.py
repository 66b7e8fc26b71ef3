"""Goal reminders: the daily run, and the mails that it makes."""

from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from typing import Annotated, Any

from attrs import evolve, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.errors import Invalid, NotAllowed
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.task import Task, TaskContext
from workbell.ports.mail import Mailer
from workbell.services.goals.reminders import MAIL_ATTEMPTS, MAIL_TASK, ReminderService

RUN_TASK = "goals.remind"


@frozen(kw_only=True)
class RemindGoals:
    """Whom to remind: everybody, or those whose own time has come."""

    own_times: bool = False


@frozen(kw_only=True)
class MailReminder:
    """Whom to mail about which goals, and the local day of the reminder."""

    user_id: int
    day: Annotated[str, Constraints(pattern=r"\d{4}-\d{2}-\d{2}", hint="must be a date")]
    goals: Sequence[int]


@frozen
class GoalReminders:
    """The run that finds out who is to be reminded, and the mail to each of them."""

    reminding: ReminderService
    mailer: Mailer

    def check(self, actor: Actor, _: object) -> None:
        """
        Refuse anybody but superusers and the system.

        Raises:
            NotAllowed: Who asks is neither.
        """
        if not actor.is_super_user:
            raise NotAllowed("Only superusers may send reminders.")

    def run(self, context: TaskContext, parameters: RemindGoals) -> dict[str, Any]:
        """
        Make the mails of everybody who is to be reminded now.

        Raises:
            Unavailable: The store does not answer.
            Interrupted: The job was stopped; what was made is kept, the next
                run does the rest.
        """

        def watch(looked: int) -> None:
            context.progress(looked, note="people looked at")
            context.check()

        remind = (
            self.reminding.remind_at_own_times
            if parameters.own_times
            else self.reminding.remind_at_default_time
        )
        looked, told = remind(watch)
        context.log.info("reminded", looked=looked, told=told)
        return {"people": looked, "reminded": told}

    def mail(self, context: TaskContext, parameters: MailReminder) -> dict[str, Any]:
        """
        Mail one person, unless they have unsubscribed or been active meanwhile.

        Every try sends the same message id.

        Raises:
            Invalid: The address cannot be sent to.
            Unavailable: The mail server did not take it.
        """
        context.check()
        message = self.reminding.compose_email(
            UserId(parameters.user_id), _day(parameters.day), parameters.goals
        )
        if message is None:
            return {"sent": False, "reason": "not wanted any more"}
        message_id = f"<{sha256(context.idempotency_key.encode()).hexdigest()[:32]}@workbell>"
        self.mailer.send(evolve(message, message_id=message_id))
        return {"sent": True, "message_id": message_id}

    def tasks(self) -> Sequence[Task]:
        """Return the run and the mail."""
        return (
            Task(
                key=RUN_TASK,
                name="Goal Reminders",
                description="Reminds people of goals that they leave alone. Superusers only.",
                parameters=RemindGoals,
                body=self.run,
                check=self.check,
                max_attempts=10,
                timeout_seconds=3600,
            ),
            Task(
                key=MAIL_TASK,
                name="Goal Reminder Mail",
                description="Mails one reminder; Goal Reminders makes these jobs.",
                parameters=MailReminder,
                body=self.mail,
                check=self.check,
                max_attempts=MAIL_ATTEMPTS,
                timeout_seconds=120,
            ),
        )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid.field("day", "must be a date") from None
