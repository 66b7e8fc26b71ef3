"""Goal Reminders: a daily task, and the task that sends each email."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

from attrs import evolve, frozen

from workbell.adapters.builtin_tasks.send_email import make_message_id
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
    """`own_times`: remind users at their own times, not the default."""

    own_times: bool = False


@frozen(kw_only=True)
class MailReminder:
    """The user, the goals, and the user's local date of the reminder."""

    user_id: int
    day: Annotated[str, Constraints(pattern=r"\d{4}-\d{2}-\d{2}", hint="must be a date")]
    goals: Sequence[int]


@frozen
class GoalReminders:
    """The tasks that find users to remind, and that send the emails."""

    reminders: ReminderService
    mailer: Mailer

    def check(self, actor: Actor, _: object) -> None:
        """Raise NotAllowed unless a superuser or the system."""
        if not actor.is_super_user:
            raise NotAllowed("Only superusers may send reminders.")

    def run(self, context: TaskContext, parameters: RemindGoals) -> dict[str, Any]:
        """Create an email job for each user to remind."""

        def report(users: int) -> None:
            context.progress(users, note="users checked")
            context.check()

        remind = (
            self.reminders.remind_at_own_times
            if parameters.own_times
            else self.reminders.remind_at_default_time
        )
        checked, reminded = remind(report)
        context.log.info("users_reminded", checked=checked, reminded=reminded)
        return {"people": checked, "reminded": reminded}

    def mail(self, context: TaskContext, parameters: MailReminder) -> dict[str, Any]:
        """
        Send a reminder, unless the user has unsubscribed or been active since.

        Raises:
            Invalid: The address is not valid.
            Unavailable: The mail server did not accept the email.
        """
        context.check()
        message = self.reminders.compose_email(
            UserId(parameters.user_id), _day(parameters.day), parameters.goals
        )
        if message is None:
            return {"sent": False, "reason": "no longer wanted"}
        message_id = make_message_id(context)
        self.mailer.send(evolve(message, message_id=message_id))
        return {"sent": True, "message_id": message_id}

    def tasks(self) -> Sequence[Task]:
        """Return both tasks."""
        return (
            Task(
                key=RUN_TASK,
                name="Goal Reminders",
                description="Reminds users of inactive goals. Superusers only.",
                parameters=RemindGoals,
                body=self.run,
                check=self.check,
                max_attempts=10,
                timeout_seconds=3600,
            ),
            Task(
                key=MAIL_TASK,
                name="Goal Reminder Mail",
                description="Sends a reminder; Goal Reminders creates these jobs.",
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
