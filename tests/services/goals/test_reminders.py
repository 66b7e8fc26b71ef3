"""Reminders: once a day at most, repeatable, and only if wanted."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from attrs import define, evolve, field

from tests.contract.factories import NOON, ManualClock, a_job, a_user, claim, ids, keep
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.cron.rule import CronRule
from workbell.domain.goals.goal import Category, Goal, GoalState
from workbell.domain.goals.reminder import ReminderPreferences
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.notifications.notice import NoticeKind, Notification
from workbell.domain.notifications.unsubscribe import UnsubscribeTokens
from workbell.ports.jobs.views import JobFilter
from workbell.services.goals.preferences import Preferences, PreferenceService
from workbell.services.goals.reminders import MAX_GOALS, PAGE, ReminderService
from workbell.services.notifications.dispatch import Notifier
from workbell.services.schedules.built_in import BuiltInSchedules

pytestmark = pytest.mark.unit

TOKENS = UnsubscribeTokens([b"k" * 32])


def ignore_progress(_: int) -> None:
    """Ignore the progress of a run."""


@define
class ReminderFixture:
    """Users with goals in a memory store."""

    clock: ManualClock = field(factory=ManualClock)
    store: MemoryStore = field(init=False)
    service: ReminderService = field(init=False)
    preferences: PreferenceService = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        notifier = Notifier(clock=self.clock)
        self.service = ReminderService(store=self.store, clock=self.clock, notifier=notifier)
        self.preferences = PreferenceService(store=self.store, clock=self.clock, tokens=TOKENS)

    def add_user(self, name: str = "ann", goals: int = 1, **fields: Any) -> UserId:
        """Add a user with goals created now."""
        with self.store.begin() as tx:
            owner = tx.users.add(a_user(name, **{"is_email_verified": True} | fields)).id
        for number in range(1, goals + 1):
            self.goal(owner, number)
        return owner

    def goal(self, owner: UserId, number: int, **fields: Any) -> Goal:
        """Add a goal created now, or change one."""
        now = self.clock.now()
        with self.store.begin() as tx:
            if fields:
                stored = evolve(tx.goals.get(owner, number), **fields)
                tx.goals.replace(stored)
                return stored
            return tx.goals.add(
                Goal(
                    owner=owner,
                    number=number,
                    name=f"goal {number}",
                    category=Category.PRIMARY,
                    active_at=now,
                    created_at=now,
                    updated_at=now,
                )
            )

    def wait(self, **span: float) -> None:
        """Advance the clock."""
        self.clock.at += timedelta(**span)

    def run(self) -> int:
        """Run the daily reminders; return arguments many users were reminded."""
        return self.service.remind_at_default_time(ignore_progress)[1]

    def jobs(self) -> list[Job]:
        """Return the jobs that send reminders, oldest first."""
        with self.store.view() as tx:
            found = tx.jobs.find(ALL_OWNERS, JobFilter(), ordering=["id"], limit=10_000)
        return list(found)

    def notices(self) -> list[Notification]:
        """Return the reminders, oldest first."""
        return list(self.store._tables.notices)

    def days(self) -> list[str]:
        """Return the days that have a reminder."""
        return [row.data["day"] for row in self.notices()]

    def content(self, index: int = -1) -> Mapping[str, Any] | None:
        """Return the content of a reminder, as it would be sent now."""
        row = self.notices()[index]
        with self.store.view() as tx:
            return self.service.compose(tx, tx.users.get(row.user_id), row)

    def prefer(self, owner: UserId, reminders: ReminderPreferences) -> None:
        """Set a user's preferences."""
        self.preferences.save(Actor(user_id=owner), Preferences(reminders=reminders))


@pytest.fixture
def env() -> ReminderFixture:
    return ReminderFixture()


def test_a_goal_without_entries_is_idle_since_its_creation(env: ReminderFixture) -> None:
    owner = env.add_user(goals=2)
    env.wait(days=6)
    assert env.run() == 0
    env.wait(days=1)
    assert env.run() == 1
    (mail,) = env.jobs()
    assert (mail.origin, mail.owner, mail.task) == (JobOrigin.REMINDER, 0, "notifications.mail")
    (row,) = env.notices()
    assert mail.parameters == {"notification": row.id}
    assert (row.user_id, row.kind, row.key) == (owner, NoticeKind.REMINDER, "2030-01-08")
    assert row.data == {"day": "2030-01-08", "goals": [1, 2]}
    assert row.title == "2 of your goals are waiting"


def test_the_second_reminder_follows_after_14_days_the_third_after_28(
    env: ReminderFixture,
) -> None:
    owner = env.add_user()
    for _ in range(120):
        env.wait(days=1)
        env.run()
    assert env.days() == ["2030-01-08", "2030-01-22", "2030-02-19"]
    env.goal(owner, 1, active_at=env.clock.now())
    for _ in range(8):
        env.run()
        env.wait(days=1)
    assert len(env.days()) == 4


def test_a_user_gets_at_most_one_email_a_day(
    env: ReminderFixture,
) -> None:
    owner = env.add_user()
    env.wait(days=7)
    assert [env.run() for _ in range(3)] == [1, 0, 0]
    env.wait(hours=1)
    env.goal(owner, 2)
    env.goal(owner, 2, active_at=NOON - timedelta(days=99))
    assert env.run() == 0
    env.wait(days=1)
    assert env.run() == 1
    assert [row.data["goals"] for row in env.notices()] == [[1], [2]]


@pytest.mark.parametrize(
    "changes",
    [
        {"is_complete": True},
        {"state": GoalState.ARCHIVED},
        {"state": GoalState.PAUSED},
        {"active_at": NOON + timedelta(days=2)},
    ],
)
def test_complete_paused_and_active_goals_cause_no_reminder(
    env: ReminderFixture, changes: dict[str, Any]
) -> None:
    owner = env.add_user()
    env.wait(days=7)
    before = env.goal(owner, 1, **changes)
    assert env.run() == 0
    env.goal(owner, 1, is_complete=False, state=GoalState.ACTIVE, active_at=NOON)
    assert env.run() == 1
    env.goal(owner, 1, **changes | {"active_at": env.clock.now()})
    assert env.content() is None
    assert before.owner == owner


def test_other_system_jobs_do_not_wait_behind_the_emails(env: ReminderFixture) -> None:
    for n in range(9):
        env.add_user(f"p{n}")
    env.wait(days=7)
    assert env.run() == 9
    now = env.clock.now()
    (other,) = keep(env.store, a_job(owner=SYSTEM_ID, due_at=now), now=now)
    claimed = claim(env.store, limit=3, now=now)
    assert other.id in ids(claimed)


def test_a_repeated_run_sends_no_second_email(env: ReminderFixture) -> None:
    for n in range(2 * PAGE + 1):
        env.add_user(f"p{n}")
    env.wait(days=7)

    def die(looked: int) -> None:
        if looked > PAGE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        env.service.remind_at_default_time(die)
    assert len(env.jobs()) == 2 * PAGE
    assert env.run() == 1
    assert len({row.user_id for row in env.notices()}) == 2 * PAGE + 1


def test_the_email_has_the_goals_that_are_still_idle(env: ReminderFixture) -> None:
    owner = env.add_user(goals=2)
    env.wait(days=7)
    env.run()
    content = env.content()
    assert content is not None
    assert content["subject"] == "2 of your goals are waiting"
    assert "  - goal 1\n  - goal 2\n" in content["text"]
    env.goal(owner, 1, is_complete=True)
    content = env.content()
    assert content is not None
    assert content["subject"] == "Your goal goal 2 is waiting"
    assert "goal 1" not in content["text"]


def test_a_goal_is_reminded_of_beyond_the_maximum_per_email(env: ReminderFixture) -> None:
    owner = env.add_user(goals=MAX_GOALS)
    env.goal(owner, MAX_GOALS + 1)
    env.goal(owner, MAX_GOALS + 1, active_at=NOON - timedelta(days=7))
    assert env.run() == 1
    content = env.content()
    assert content is not None
    assert f"goal {MAX_GOALS + 1}" in content["subject"]


def test_an_unverified_address_gets_no_goal_names(
    env: ReminderFixture,
) -> None:
    env.add_user(is_email_verified=False)
    env.wait(days=7)
    env.run()
    content = env.content()
    assert content is not None
    assert "goal 1" not in content["text"] + content["subject"]


def test_users_without_reminders_get_no_email(env: ReminderFixture) -> None:
    owner = env.add_user()
    env.wait(days=7)
    env.run()
    env.prefer(owner, ReminderPreferences(reminders=False))
    assert env.content() is None
    env.prefer(owner, ReminderPreferences())
    assert env.content() is not None


def at_own_time(env: ReminderFixture, **fields: Any) -> UserId:
    """Add a user with the reminder time 07:30."""
    owner = env.add_user("own", time_zone="Asia/Kolkata", **fields)
    env.prefer(owner, ReminderPreferences(reminder_time=time(7, 30)))
    return owner


def own_run(env: ReminderFixture) -> tuple[int, int]:
    return env.service.remind_at_own_times(ignore_progress)


def test_an_own_time_replaces_the_daily_run(env: ReminderFixture) -> None:
    at_own_time(env)
    env.clock.at = datetime(2030, 1, 7, 2, 0, tzinfo=UTC)
    assert own_run(env) == (1, 0)  # late: one email for all missed days
    env.clock.at = datetime(2030, 1, 8, 1, 59, tzinfo=UTC)
    assert own_run(env) == (0, 0)
    assert env.run() == 0
    env.wait(minutes=1)
    assert own_run(env) == (1, 1)
    assert own_run(env) == (0, 0)
    assert env.days() == ["2030-01-08"]
    env.wait(days=14)
    assert own_run(env) == (1, 1)


def test_a_changed_time_zone_changes_the_reminder_time(env: ReminderFixture) -> None:
    owner = at_own_time(env)
    with env.store.begin() as tx:
        tx.users.replace(evolve(tx.users.get(owner), time_zone="America/New_York"))
    env.clock.at = datetime(2030, 1, 9, 2, 0, tzinfo=UTC)
    assert own_run(env) == (1, 0)
    env.clock.at = datetime(2030, 1, 9, 12, 29, tzinfo=UTC)
    assert own_run(env) == (0, 0)
    env.wait(minutes=1)
    assert own_run(env) == (1, 1)


def test_an_inactive_user_is_checked_again_on_another_day(env: ReminderFixture) -> None:
    owner = at_own_time(env, is_active=False)
    env.wait(days=9)
    assert own_run(env) == (1, 0)
    assert own_run(env) == (0, 0)
    with env.store.begin() as tx:
        tx.users.replace(evolve(tx.users.get(owner), is_active=True))
    env.wait(days=1)
    assert own_run(env) == (1, 0)
    env.wait(days=1)
    assert own_run(env) == (1, 1)


@pytest.fixture
def ensure(env: ReminderFixture) -> Callable[..., Any]:
    built_in = BuiltInSchedules(store=env.store, clock=env.clock)

    def ensure_schedule(line: str = "0 0 * * *") -> Any:
        return built_in.ensure("Reminders", "goals.remind", CronRule(line), {"own_times": False})

    return ensure_schedule


def test_a_built_in_schedule_is_created_once_and_follows_the_settings(
    ensure: Callable[..., Any], env: ReminderFixture
) -> None:
    first = ensure()
    assert (first.owner, first.next_at) == (0, datetime(2030, 1, 2, tzinfo=UTC))
    assert ensure() == first
    moved = ensure("30 6 * * *")
    assert (moved.id, moved.next_at) == (first.id, datetime(2030, 1, 2, 6, 30, tzinfo=UTC))
    with env.store.view() as tx:
        assert tx.schedules.get(ALL_OWNERS, first.id) == moved


def test_a_manual_pause_persists_and_a_pause_by_failures_does_not(
    ensure: Callable[..., Any], env: ReminderFixture
) -> None:
    built_in = ensure()

    def replace(schedule: Any) -> None:
        with env.store.begin() as tx:
            tx.schedules.replace(schedule)

    replace(built_in.pause())
    assert not ensure().is_active
    replace(built_in.pause("5 runs in a row have failed"))
    assert ensure().is_active
    replace(evolve(built_in.pause(), deleted_at=NOON))
    again = ensure()
    assert again.is_active
    assert again.id != built_in.id
