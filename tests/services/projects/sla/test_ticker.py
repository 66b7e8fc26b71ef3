"""The tick: each warning, breach and escalation step once, with its notices."""

from datetime import timedelta

import pytest

from tests.services.projects.sla.environment import SlaFixture, minutes_after, steps
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.projects.sla.policy import Recipient
from workbell.services.projects.requests import FormerProjectMember
from workbell.services.projects.sla.ticker import TICK_BATCH

WARNING, BREACH, ESCALATION = (
    NoticeKind.SLA_WARNING,
    NoticeKind.SLA_BREACH,
    NoticeKind.SLA_ESCALATION,
)
ONE_HOUR = {"HIGH": {"resolution_minutes": 60}}


def test_an_idle_tick_does_nothing(sla: SlaFixture) -> None:
    assert sla.ticker.next_due() is None
    assert sla.ticker.tick() == 0
    sla.policy()
    sla.task(priority="HIGH")
    assert sla.ticker.next_due() == minutes_after(24)
    assert sla.ticker.tick() == 0


def test_warning_breach_and_escalation_come_at_their_times(sla: SlaFixture) -> None:
    sla.policy(targets=ONE_HOUR, escalation=steps(30))
    item = sla.task(priority="HIGH")
    for minutes, kinds in ((48, ["warning"]), (12, ["breach"]), (30, ["escalation"]), (999, [])):
        sla.wait(minutes)
        assert sla.ticker.tick() == len(kinds)
        assert sla.event_kinds(item)[-len(kinds) :] == kinds or not kinds
    assert sla.event_kinds(item) == ["warning", "breach", "escalation"]
    assert sla.notices("mia") == [WARNING, BREACH]
    assert sla.notices("max") == [ESCALATION]
    assert sla.ticker.next_due() is None


def test_a_breach_is_recorded_with_its_deadline_and_its_detection(sla: SlaFixture) -> None:
    sla.policy(targets=ONE_HOUR)
    item = sla.task(priority="HIGH")
    sla.wait(75)
    sla.ticker.tick()
    (_, breach) = sla.events(item.id)
    assert (breach.event.at, breach.detected_at) == (minutes_after(60), minutes_after(75))
    assert sla.stored(item).is_sla_breached
    assert sla.stored(item).sla_due_at == minutes_after(60)


def test_after_26_hours_without_ticks_each_event_is_recorded_and_one_notice_sent(
    sla: SlaFixture,
) -> None:
    sla.policy(targets=ONE_HOUR, escalation=steps(30, 60, notify=Recipient.REPORTER))
    item = sla.task(priority="HIGH", assignee=sla.env.actor("max").user_id)
    sla.wait(26 * 60)
    assert sla.ticker.tick() == 1
    assert [(stored.event.kind, stored.event.step) for stored in sla.events(item.id)] == [
        ("warning", 0),
        ("breach", 0),
        ("escalation", 0),
        ("escalation", 1),
    ]
    instants = [stored.event.at for stored in sla.events(item.id)]
    assert instants == [minutes_after(n) for n in (48, 60, 90, 120)]
    assert sla.notices("mia") == [BREACH]
    assert sla.notices("max") == [BREACH]
    assert sla.ticker.tick() == 0


def test_reporter_assignee_and_watchers_are_notified_by_mail(sla: SlaFixture) -> None:
    sla.policy(targets=ONE_HOUR)
    sla.env.join(sla.project, "wim")
    item = sla.task(priority="HIGH", assignee=sla.env.actor("max").user_id)
    sla.env.work_items.watch(sla.env.actor("wim"), item.id, on=True)
    sla.wait(61)
    sla.ticker.tick()
    for name in ("mia", "max", "wim"):
        assert sla.notices(name) == [BREACH]
    assert sla.notices("ann") == []
    jobs = sla.env.jobs("notifications.mail")
    assert len(jobs) == 4  # the assignment's, too


def test_a_breach_found_by_a_change_is_notified_once(sla: SlaFixture) -> None:
    sla.policy(targets=ONE_HOUR)
    item = sla.task(priority="HIGH")
    sla.wait(61)
    sla.move(item, "DONE", "max")
    sla.ticker.tick()
    assert sla.notices("mia") == [BREACH]


@pytest.mark.parametrize(
    ("notify", "name"),
    [
        (Recipient.ADMIN, "ann"),
        (Recipient.MANAGER, "max"),
        (Recipient.MEMBER, "wim"),
        (Recipient.WATCHERS, "wim"),
    ],
)
def test_an_escalation_notifies_whom_the_step_names(
    sla: SlaFixture, notify: Recipient, name: str
) -> None:
    sla.policy(targets=ONE_HOUR, escalation=steps(0, notify=notify))
    sla.env.join(sla.project, "wim")
    item = sla.task("ann" if name != "ann" else "mia", priority="HIGH")
    if notify is Recipient.WATCHERS:
        sla.env.work_items.watch(sla.env.actor("wim"), item.id, on=True)
        sla.wait(61)
        sla.ticker.tick()
        assert sla.notices("wim") == [BREACH]  # a watcher learns of the breach already
        return
    sla.wait(61)
    sla.ticker.tick()
    assert sla.notices(name) == [ESCALATION]


def test_a_removed_member_is_not_notified_by_role(sla: SlaFixture) -> None:
    sla.policy(targets=ONE_HOUR, escalation=steps(0))
    sla.task(priority="HIGH")
    former = FormerProjectMember(user_id=sla.env.actor("max").user_id)
    sla.env.members.remove(sla.env.actor("ann"), sla.project.id, former)
    sla.wait(61)
    sla.ticker.tick()
    assert sla.notices("max") == []


def test_a_deleted_project_reports_nothing(sla: SlaFixture) -> None:
    sla.policy(targets=ONE_HOUR)
    item = sla.task(priority="HIGH")
    sla.env.projects.delete(sla.env.actor("ann"), sla.project.id)
    sla.wait(61)
    assert sla.ticker.tick() == 0
    assert sla.events(item.id) == []


def test_clocks_whose_task_has_gone_are_cancelled(sla: SlaFixture) -> None:
    sla.policy(targets=ONE_HOUR)
    item = sla.task(priority="HIGH")
    with sla.env.people.store.begin() as tx:  # without a command that cancels them
        tx.work_items.replace(sla.stored(item).delete(sla.now))
    sla.wait(61)
    assert sla.ticker.tick() == 1
    assert sla.ticker.next_due() is None
    assert sla.notices("mia") == []


def test_many_clocks_due_at_once_take_several_transactions(sla: SlaFixture) -> None:
    sla.policy(targets=ONE_HOUR)
    count = TICK_BATCH + 20
    items = [sla.task(priority="HIGH") for _ in range(count)]
    sla.wait(61)
    assert sla.ticker.tick_batch() == TICK_BATCH
    assert sla.ticker.tick() == 20
    assert sla.ticker.tick() == 0
    assert all(sla.event_kinds(item) == ["warning", "breach"] for item in items)


def test_the_next_tick_is_due_when_the_next_clock_is(sla: SlaFixture) -> None:
    sla.policy(targets=ONE_HOUR)
    sla.task(priority="HIGH")
    sla.wait(48)
    sla.ticker.tick()
    assert sla.ticker.next_due() == minutes_after(60)
    sla.env.people.clock.at += timedelta(minutes=12)
    assert sla.ticker.tick() == 1
