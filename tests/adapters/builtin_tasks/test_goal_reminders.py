"""Goal reminder tasks: permissions and results."""

from datetime import timedelta

import pytest

from tests.adapters.builtin_tasks.context import RecordedContext
from tests.contract.factories import NOON, ManualClock, a_user
from workbell.adapters.builtin_tasks.goal_reminders import GoalReminders, RemindGoals
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.errors import NotAllowed
from workbell.domain.goals.goal import Category, Goal
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.task import Cancelled
from workbell.services.goals.reminders import ReminderService
from workbell.services.notifications.dispatch import Notifier

pytestmark = pytest.mark.unit


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
    notifier = Notifier(clock=clock)
    return GoalReminders(ReminderService(store=store, clock=clock, notifier=notifier))


def test_the_result_counts_checked_and_reminded_users(reminders: GoalReminders) -> None:
    context = RecordedContext()
    assert reminders.run(context, RemindGoals()) == {"people": 1, "reminded": 1}
    assert reminders.run(context, RemindGoals(own_times=True)) == {"people": 0, "reminded": 0}
    assert context.notes == [(1, None, "users checked")]
    with pytest.raises(Cancelled):
        reminders.run(RecordedContext(checks_left=[0]), RemindGoals())


def test_only_superusers_and_the_system_may_send_reminders(reminders: GoalReminders) -> None:
    for task in reminders.tasks():
        assert task.check is not None
        task.check(SYSTEM, None)
        task.check(Actor(user_id=UserId(2), is_super_user=True), None)
        with pytest.raises(NotAllowed):
            task.check(Actor(user_id=UserId(1)), None)
