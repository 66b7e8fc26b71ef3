"""Goal reminder tasks: permissions and results."""

from datetime import timedelta

import pytest
from attrs import Factory, evolve, frozen

from tests.adapters.builtin_tasks.context import RecordedContext
from tests.contract.factories import NOON, ManualClock, a_user
from workbell.adapters.builtin_tasks.goal_reminders import GoalReminders, MailReminder, RemindGoals
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.errors import Invalid, NotAllowed
from workbell.domain.goals.goal import Category, Goal
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.task import Cancelled
from workbell.domain.notifications.unsubscribe import UnsubscribeTokens
from workbell.ports.mail import Email
from workbell.services.goals.reminders import ReminderService

pytestmark = pytest.mark.unit


@frozen
class Outbox:
    messages: list[Email] = Factory(list)

    def send(self, message: Email) -> None:
        self.messages.append(message)


@pytest.fixture
def reminders() -> GoalReminders:
    """Return the tasks, with a store that has an inactive goal."""
    clock = ManualClock(NOON + timedelta(days=7))
    store = MemoryStore(clock)
    with store.begin() as tx:
        owner = tx.users.add(a_user()).id
        tx.goals.add(
            Goal(
                owner=owner,
                number=1,
                name="goal",
                category=Category.MINOR,
                active_at=NOON,
                created_at=NOON,
                updated_at=NOON,
            )
        )
    tokens = UnsubscribeTokens([b"k" * 32])
    reminding = ReminderService(
        store=store, clock=clock, tokens=tokens, public_url="http://workbell"
    )
    return GoalReminders(reminding, Outbox())


def test_the_result_counts_checked_and_reminded_users(reminders: GoalReminders) -> None:
    context = RecordedContext()
    assert reminders.run(context, RemindGoals()) == {"people": 1, "reminded": 1}
    assert reminders.run(context, RemindGoals(own_times=True)) == {"people": 0, "reminded": 0}
    assert context.notes == [(1, None, "users checked")]
    with pytest.raises(Cancelled):
        reminders.run(RecordedContext(checks_left=[0]), RemindGoals())


def test_all_attempts_use_the_same_message_id(reminders: GoalReminders) -> None:
    parameters = MailReminder(user_id=1, day="2030-01-08", goals=[1])
    sent = reminders.mail(RecordedContext(), parameters)
    assert reminders.mail(RecordedContext(attempt=2), parameters) == sent
    assert isinstance(reminders.mailer, Outbox)
    assert [message.message_id for message in reminders.mailer.messages] == [sent["message_id"]] * 2
    unknown = reminders.mail(RecordedContext(), evolve(parameters, user_id=9))
    assert unknown == {"sent": False, "reason": "no longer wanted"}
    with pytest.raises(Invalid):
        reminders.mail(RecordedContext(), evolve(parameters, day="2030-02-30"))


def test_only_superusers_and_the_system_may_send_reminders(reminders: GoalReminders) -> None:
    for task in reminders.tasks():
        assert task.check is not None
        task.check(SYSTEM, None)
        task.check(Actor(user_id=UserId(2), is_super_user=True), None)
        with pytest.raises(NotAllowed):
            task.check(Actor(user_id=UserId(1)), None)
