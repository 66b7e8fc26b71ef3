"""Clocks follow tasks: start, pause, stop, reopen, priority, archive, deletion."""

from datetime import timedelta

import pytest

from tests.services.projects.sla.environment import SlaFixture, minutes_after
from workbell.domain.errors import NotFound
from workbell.domain.projects.sla.clock import ClockState
from workbell.domain.projects.work_item import WorkItemStatus


def test_a_task_of_a_project_without_a_policy_or_due_date_has_no_clock(sla: SlaFixture) -> None:
    item = sla.task(priority="HIGH")
    assert sla.clocks(item) == {}
    assert (item.sla_due_at, item.is_sla_breached) == (None, False)


def test_a_new_task_gets_the_clocks_of_its_priority(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="HIGH")
    clocks = sla.clocks(item)
    assert list(clocks) == ["first_response", "resolution"]
    assert clocks["first_response"].deadline == minutes_after(30)
    assert clocks["resolution"].deadline == minutes_after(480)
    assert clocks["resolution"].warn_at == minutes_after(384)
    assert clocks["resolution"].target_minutes == 480
    assert item.sla_due_at == sla.stored(item).sla_due_at == minutes_after(30)


def test_a_priority_or_kind_without_a_target_has_no_clock(sla: SlaFixture) -> None:
    sla.policy()
    assert list(sla.clocks(sla.task(priority="MEDIUM"))) == ["resolution"]
    assert sla.clocks(sla.task(priority="LOW")) == {}


def test_a_due_date_is_a_clock_without_a_policy(sla: SlaFixture) -> None:
    item = sla.task(due_date=minutes_after(1_000))
    due = sla.clocks(item)["due"]
    assert (due.deadline, due.warn_at) == (minutes_after(1_000), minutes_after(800))
    assert item.sla_due_at == minutes_after(1_000)


def test_clocks_do_not_change_the_version_of_a_task(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="HIGH", due_date=minutes_after(10))
    sla.wait(60)
    sla.ticker.tick()
    sla.comment(item, "max")
    assert sla.stored(item).version == 1
    assert sla.stored(item).is_sla_breached


def test_the_first_comment_of_another_is_the_first_response(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="HIGH")
    sla.wait(5)
    sla.comment(item, "mia")
    assert sla.clocks(item)["first_response"].state is ClockState.RUNNING
    sla.wait(5)
    sla.comment(item, "max")
    sla.wait(5)
    sla.comment(item, "ann")
    response = sla.clocks(item)["first_response"]
    assert response.state is ClockState.MET
    assert (response.clock.stopped_at, response.consumed_seconds) == (minutes_after(10), 600)
    assert sla.stored(item).sla_due_at == minutes_after(480)


@pytest.mark.parametrize(("actor", "state"), [("max", "met"), ("mia", "running")])
def test_a_status_change_by_another_is_a_first_response(
    sla: SlaFixture, actor: str, state: str
) -> None:
    sla.policy()
    item = sla.task(priority="HIGH")
    sla.move(item, "TODO", actor)
    assert sla.clocks(item)["first_response"].state == state


def test_a_response_before_there_was_a_target_counts(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="MEDIUM")
    sla.comment(item, "max")
    sla.change(item, priority="HIGH")
    assert list(sla.clocks(item)) == ["resolution"]


def test_a_done_task_stops_its_clocks(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="HIGH", due_date=minutes_after(100))
    sla.wait(20)
    done = sla.move(item, "DONE", "max")
    assert {one.state for one in sla.clocks(item).values()} == {ClockState.MET}
    assert (done.sla_due_at, done.is_sla_breached) == (None, False)
    sla.wait(10_000)
    assert sla.ticker.tick() == 0


def test_a_task_done_late_is_breached_at_its_deadline(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="CRITICAL")
    sla.wait(90)
    done = sla.move(item, "DONE")
    resolution = sla.clocks(item)["resolution"]
    assert resolution.state is ClockState.BREACHED
    assert resolution.clock.breached_at == minutes_after(60)
    assert resolution.clock.stopped_at == minutes_after(90)
    assert done.is_sla_breached


def test_a_pausing_status_pauses_and_shows_it(sla: SlaFixture) -> None:
    sla.policy(pausing_statuses=["REVIEW"])
    item = sla.task(priority="HIGH", due_date=minutes_after(2_000))
    sla.wait(60)
    paused = sla.move(item, "REVIEW")
    clocks = sla.clocks(item)
    assert (clocks["resolution"].state, clocks["resolution"].deadline) == ("paused", None)
    assert clocks["first_response"].state is ClockState.BREACHED  # after 30 minutes
    assert clocks["due"].state is ClockState.RUNNING
    assert paused.sla_due_at == minutes_after(2_000)
    sla.wait(1_000)
    assert sla.move(item, "TODO").sla_due_at == minutes_after(30)
    resolution = sla.clocks(item)["resolution"]
    assert resolution.deadline == minutes_after(1_480)
    shown = [(one.segment.counts, one.segment.reason) for one in resolution.segments]
    assert shown == [(True, "counting"), (False, "status REVIEW"), (True, "counting")]
    assert [one.counted_seconds for one in resolution.segments] == [3_600, 0, 0]


def test_a_pause_holds_for_the_first_response_too(sla: SlaFixture) -> None:
    sla.policy(pausing_statuses=["BACKLOG"])
    item = sla.task(priority="HIGH")
    sla.wait(1_000)
    sla.move(item, "TODO")
    assert sla.clocks(item)["first_response"].deadline == minutes_after(1_030)


def test_a_pause_and_what_was_consumed_survive_a_raised_priority(sla: SlaFixture) -> None:
    sla.policy(pausing_statuses=["REVIEW"])
    item = sla.task(priority="MEDIUM")
    sla.wait(40)
    sla.move(item, "REVIEW")
    sla.wait(1_440)
    sla.change(item, priority="CRITICAL")
    sla.wait(10)
    sla.move(item, "TODO")
    resolution = sla.clocks(item)["resolution"]
    assert resolution.consumed_seconds == 40 * 60
    assert resolution.deadline == sla.now + timedelta(minutes=20)
    assert resolution.target_minutes == 60


def test_a_priority_without_a_target_and_back(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="CRITICAL")
    sla.wait(10)
    sla.change(item, priority="LOW")
    assert sla.clocks(item)["resolution"].state is ClockState.CANCELLED
    sla.wait(100)
    sla.change(item, priority="CRITICAL")
    resolution = sla.clocks(item)["resolution"]
    assert resolution.deadline == minutes_after(160)
    assert resolution.consumed_seconds == 600


def test_a_first_target_starts_at_the_change_of_priority(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="LOW")
    sla.wait(100)
    sla.change(item, priority="CRITICAL")
    assert sla.clocks(item)["resolution"].deadline == minutes_after(160)
    assert sla.clocks(item)["first_response"].deadline == minutes_after(115)


@pytest.mark.parametrize(
    ("reopen", "state", "deadline", "cycle"),
    [("resume", "running", 140, 1), ("restart", "running", 160, 2), ("ignore", "met", None, 1)],
)
def test_reopening_does_what_the_policy_says(
    sla: SlaFixture, reopen: str, state: str, deadline: int | None, cycle: int
) -> None:
    sla.policy(reopen=reopen)
    item = sla.task(priority="CRITICAL")
    sla.comment(item, "max")
    sla.wait(20)
    sla.move(item, "DONE")
    sla.wait(80)
    reopened = sla.move(item, "TODO")
    resolution = sla.clocks(item)["resolution"]
    wanted = None if deadline is None else minutes_after(deadline)
    assert (resolution.state, resolution.deadline, resolution.clock.cycle) == (state, wanted, cycle)
    assert reopened.sla_due_at == wanted
    assert sla.clocks(item)["first_response"].state is ClockState.MET


def test_a_restarted_clock_is_no_longer_breached(sla: SlaFixture) -> None:
    sla.policy(reopen="restart", targets={"HIGH": {"resolution_minutes": 60}})
    item = sla.task(priority="HIGH")
    sla.wait(61)
    assert sla.move(item, "DONE").is_sla_breached
    assert not sla.move(item, "TODO").is_sla_breached
    sla.wait(61)
    sla.ticker.tick()
    cycles = [(stored.cycle, stored.event.kind) for stored in sla.events(item.id)]
    assert cycles == [(1, "warning"), (1, "breach"), (2, "warning"), (2, "breach")]


def test_another_due_date_begins_another_cycle(sla: SlaFixture) -> None:
    item = sla.task(due_date=minutes_after(100))
    sla.wait(101)
    sla.ticker.tick()
    assert sla.stored(item).is_sla_breached
    moved = sla.change(item, due_date="2026-03-10T08:00:00Z")
    assert (moved.is_sla_breached, moved.sla_due_at) == (False, minutes_after(1_440))
    assert sla.clocks(item)["due"].warn_at == minutes_after(101 + (1_440 - 101) * 0.8)
    assert sla.event_kinds(item) == ["warning", "breach"]


def test_a_due_date_in_the_past_is_breached_at_that_date(sla: SlaFixture) -> None:
    item = sla.task(due_date=minutes_after(-60))
    assert item.is_sla_breached
    assert sla.clocks(item)["due"].clock.breached_at == minutes_after(-60)
    assert sla.event_kinds(item) == ["breach"]


def test_a_removed_due_date_cancels_its_clock(sla: SlaFixture) -> None:
    item = sla.task(due_date=minutes_after(100))
    assert sla.change(item, due_date=None).sla_due_at is None
    assert sla.clocks(item)["due"].state is ClockState.CANCELLED
    sla.wait(200)
    assert sla.ticker.tick() == 0


def test_a_task_reopened_after_its_due_date_is_breached_at_that_date(sla: SlaFixture) -> None:
    item = sla.task(due_date=minutes_after(100))
    sla.move(item, "DONE")
    sla.wait(500)
    assert sla.move(item, "TODO").is_sla_breached
    assert sla.clocks(item)["due"].clock.breached_at == minutes_after(100)


def test_an_archived_project_pauses_its_clocks_and_restoring_resumes_them(
    sla: SlaFixture,
) -> None:
    sla.policy(pausing_statuses=["REVIEW"])
    item = sla.task(priority="HIGH", due_date=minutes_after(5_000))
    waiting = sla.task(priority="HIGH", status=WorkItemStatus.REVIEW)
    sla.wait(10)
    sla.set_archived(is_archived=True)
    assert {one.state for one in sla.clocks(item).values()} == {ClockState.PAUSED}
    assert sla.stored(item).sla_due_at is None
    sla.wait(1_000)
    assert sla.ticker.tick() == 0
    sla.set_archived(is_archived=False)
    clocks = sla.clocks(item)
    assert clocks["first_response"].deadline == minutes_after(1_030)
    assert clocks["due"].deadline == minutes_after(5_000)
    reasons = [one.segment.reason for one in clocks["first_response"].segments]
    assert reasons == ["counting", "project archived", "counting"]
    assert sla.stored(item).sla_due_at == minutes_after(1_030)
    assert sla.clocks(waiting)["resolution"].state is ClockState.PAUSED


def test_a_deleted_task_reports_nothing(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="HIGH", due_date=minutes_after(10))
    sla.env.work_items.delete(sla.env.actor("mia"), item.id)
    sla.wait(10_000)
    assert sla.ticker.tick() == 0
    assert sla.events(item.id) == []
    with pytest.raises(NotFound):
        sla.clocks(item)


def test_the_clocks_of_a_task_are_hidden_from_others(sla: SlaFixture) -> None:
    sla.policy()
    item = sla.task(priority="HIGH")
    with pytest.raises(NotFound):
        sla.clocks(item, "zoe")


def test_a_clock_keeps_the_versions_that_it_started_with(sla: SlaFixture) -> None:
    calendar = sla.calendar()
    policy = sla.policy(calendar=calendar.id)
    item = sla.task(priority="HIGH")
    actor = sla.env.actor("ann")
    sla.policies.change(actor, policy.id, {"targets": {"HIGH": {"resolution_minutes": 10}}})
    sla.calendars.change(actor, calendar.id, {"intervals": {"sun": [["10:00", "11:00"]]}})
    sla.wait(60)
    sla.change(item, title="Another title")
    sla.move(item, "TODO", "max")
    assert sla.clocks(item)["resolution"].deadline == minutes_after(480)
    sla.change(item, priority="CRITICAL")
    resolution = sla.clocks(item)["resolution"]
    assert resolution.clock.pins.policy_version == 1
    assert resolution.deadline == minutes_after(60)


def test_the_explanation_says_why(sla: SlaFixture) -> None:
    sla.policy(calendar=sla.calendar().id)
    item = sla.task(priority="HIGH", due_date=minutes_after(3_000))
    sla.wait(60)
    clocks = sla.clocks(item)
    assert clocks["resolution"].text == (
        "The target is 480 min in the hours of Europe/Berlin; 60 min are consumed. "
        "The remaining 420 min end at 2026-03-09 16:00:00 UTC."
    )
    assert clocks["due"].text == (
        "Due at 2026-03-11 10:00:00 UTC; pauses do not move a due date. It is running."
    )
