"""Reminders on every store: recipients, locks and history."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from threading import Barrier, Thread
from typing import Any

from attrs import evolve

from tests.contract.factories import NOON, AnyStore, ManualClock, a_user
from workbell.domain.cron.rule import CronRule
from workbell.domain.goals.goal import Category, Goal, GoalState
from workbell.domain.goals.reminder import ReminderHistory, ReminderPreferences, ReminderRecipient
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.identity.user import UserId
from workbell.ports.schedules.views import ScheduleFilter
from workbell.services.schedules.built_in import BuiltInSchedules

DAY = date(2030, 1, 1)
LONG_AGO = NOON - timedelta(days=30)
OWN = ReminderPreferences(reminder_time=time(7, 30)).with_next_run(NOON, "Asia/Kolkata")


def a_person(store: AnyStore, name: str, *goals: dict[str, Any], **fields: Any) -> UserId:
    """Insert a user with goals, all idle for a long time by default."""
    with store.begin() as tx:
        owner = tx.users.add(a_user(name, **fields)).id
        for number, changes in enumerate(goals, 1):
            ledger = tx.ledgers.lock(owner)
            tx.ledgers.replace(ledger.numbered())
            values: dict[str, Any] = {
                "owner": owner,
                "number": number,
                "name": f"goal {number}",
                "category": Category.PRIMARY,
                "active_at": LONG_AGO,
                "created_at": LONG_AGO,
                "updated_at": LONG_AGO,
            }
            tx.goals.add(Goal(**values | changes))
    return owner


def prefer(store: AnyStore, owner: UserId, preferences: ReminderPreferences) -> None:
    with store.begin() as tx:
        tx.reminders.save_preferences(owner, preferences)


def idle(store: AnyStore, after: int = 0, limit: int = 9) -> Sequence[UserId]:
    with store.view() as tx:
        return list(tx.reminders.idle(UserId(after), NOON, limit=limit))


def locked(store: AnyStore, *owners: UserId) -> list[ReminderRecipient]:
    with store.begin() as tx:
        return list(tx.reminders.lock(owners, NOON))


def test_preferences_are_stored_and_default_otherwise(store: AnyStore) -> None:
    owner = a_person(store, "ann")
    for wanted in (ReminderPreferences(), OWN, evolve(OWN, reminders=False, zone="", next_at=None)):
        prefer(store, owner, wanted)
        with store.view() as tx:
            assert tx.reminders.preferences(owner) == wanted
    with store.view() as tx:
        assert tx.reminders.preferences(UserId(999)) == ReminderPreferences()


def test_only_owners_of_idle_open_goals_are_returned(store: AnyStore) -> None:
    ann = a_person(store, "ann", {}, {})
    a_person(store, "bob", {"is_complete": True}, {"state": GoalState.ARCHIVED})
    a_person(store, "cid", {"state": GoalState.PAUSED}, {"active_at": NOON})
    dan = a_person(store, "dan", {"active_at": NOON}, {"active_at": NOON - timedelta(seconds=1)})
    eve = a_person(store, "eve", {})
    prefer(store, eve, OWN)

    assert idle(store) == [ann, dan, eve]
    assert idle(store, after=ann, limit=1) == [dan]
    assert idle(store, after=eve) == []


def test_users_with_their_own_time_are_due_oldest_first(store: AnyStore) -> None:
    late, later, usual = (a_person(store, name) for name in ("late", "later", "usual"))
    half_past_seven = datetime(2030, 1, 2, 2, tzinfo=UTC)
    assert OWN.next_at == half_past_seven
    prefer(store, later, OWN)
    prefer(store, late, evolve(OWN, next_at=NOON))
    prefer(store, usual, ReminderPreferences())

    def due(now: datetime, limit: int = 9) -> list[UserId]:
        with store.view() as tx:
            return list(tx.reminders.due(now, limit=limit))

    assert due(NOON - timedelta(seconds=1)) == []
    assert due(NOON) == [late]
    assert due(half_past_seven) == [late, later]
    assert due(half_past_seven, limit=1) == [late]
    with store.begin() as tx:
        aims = {late: evolve(OWN, zone="UTC"), later: ReminderPreferences(), usual: OWN}
        tx.reminders.set_next_times(aims, NOON)  # the others have a later reminder time, or none
    assert sorted(due(half_past_seven)) == [late, later]
    with store.begin() as tx:
        assert tx.reminders.preferences(late) == evolve(OWN, zone="UTC")
        assert tx.reminders.preferences(usual) == ReminderPreferences()
        tx.reminders.set_next_times({later: ReminderPreferences()}, half_past_seven)
    assert due(half_past_seven) == [late]


def test_recipients_are_returned_with_idle_goals_and_history(store: AnyStore) -> None:
    ann = a_person(store, "ann", {}, {"is_complete": True}, {}, time_zone="Asia/Kolkata")
    gone = a_person(store, "gone", {}, is_active=False)
    bob = a_person(store, "bob")
    told = ReminderHistory(LONG_AGO.date(), 2, DAY)
    with store.begin() as tx:
        first = tx.goals.get(ann, 1)
        tx.reminders.mark_reminded({ann: DAY}, {first.id: evolve(told, count=1)})
        tx.reminders.mark_reminded({ann: DAY + timedelta(days=1)}, {first.id: told})

    found, other = locked(store, bob, gone, ann)
    assert (found.owner, found.zone) == (ann, "Asia/Kolkata")
    assert found.reminded_on == DAY + timedelta(days=1)
    assert [(goal.name, goal.reminded) for goal in found.goals] == [
        ("goal 1", told),
        ("goal 3", None),
    ]
    assert found.goals[0].active_at == LONG_AGO
    assert other == ReminderRecipient(
        owner=bob,
        zone="UTC",
        preferences=ReminderPreferences(),
        reminded_on=None,
        goals=other.goals,
    )
    assert not other.goals


def test_history_is_deleted_with_the_goal_and_preferences_are_not(store: AnyStore) -> None:
    ann = a_person(store, "ann", {})
    prefer(store, ann, OWN)
    with store.begin() as tx:
        goal = tx.goals.get(ann, 1)
        tx.reminders.mark_reminded({ann: DAY}, {goal.id: ReminderHistory(DAY, 1, DAY)})
        tx.goals.delete(goal)
    (found,) = locked(store, ann)
    assert (found.preferences, found.reminded_on, list(found.goals)) == (OWN, DAY, [])


def test_concurrent_reminder_runs_wait_for_each_other(store: AnyStore) -> None:
    """Each sees what the one before has said: the sum of all of them is one mail."""
    times = 6
    people = [a_person(store, f"p{n}", {}) for n in range(20)]
    start, told = Barrier(times), list[UserId]()

    def run() -> None:
        start.wait()
        with store.begin() as tx:
            new = [p.owner for p in tx.reminders.lock(people, NOON) if p.reminded_on is None]
            tx.reminders.mark_reminded(dict.fromkeys(new, DAY), {})
            told.extend(new)

    threads = [Thread(target=run) for _ in range(times)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(told) == people


def test_processes_that_start_at_once_make_a_built_in_schedule_once(
    store: AnyStore, clock: ManualClock
) -> None:
    built_in = BuiltInSchedules(store=store, clock=clock)
    start, made = Barrier(4), list[int]()

    def ensure() -> None:
        start.wait()
        rule = CronRule("0 0 * * *", "Asia/Kolkata")
        made.append(built_in.ensure("Reminders", "goals.remind", rule, {"own_times": False}).id)

    threads = [Thread(target=ensure) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(made) == 4
    assert len(set(made)) == 1
    with store.view() as tx:
        assert tx.schedules.count(ALL_OWNERS, ScheduleFilter()) == 1
