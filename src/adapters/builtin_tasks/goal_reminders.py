"""Goal Reminders: a daily task."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.task import Task, TaskContext
from workbell.services.goals.reminders import ReminderService

RUN_TASK = "goals.remind"


@frozen(kw_only=True)
class RemindGoals:
    """`own_times`: remind users at their own times, not the default."""

    own_times: bool = False


@frozen
class GoalReminders:
    """The task that finds users to remind."""

    reminders: ReminderService

    def check(self, actor: Actor, _: object) -> None:
        """Raise NotAllowed unless a superuser or the system."""
        if not actor.is_super_user:
            raise NotAllowed("Only superusers may send reminders.")

    def run(self, context: TaskContext, parameters: RemindGoals) -> dict[str, Any]:
        """Notify each user to remind."""

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

    def tasks(self) -> Sequence[Task]:
        """Return the task."""
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
        )
