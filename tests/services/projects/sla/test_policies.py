"""Policies and calendars: permissions, validation, versions, application, audit."""

from typing import Any

import pytest

from tests.services.projects.sla.environment import OFFICE, SlaFixture, minutes_after
from workbell.domain.errors import (
    Conflict,
    Invalid,
    LimitReached,
    NotAllowed,
    NotFound,
    StaleVersion,
)
from workbell.domain.projects.project import ProjectArchived
from workbell.domain.projects.sla.calendar import CalendarId
from workbell.domain.projects.sla.clock import ClockState
from workbell.domain.projects.sla.policy import (
    MAX_POLICIES,
    CalendarInUse,
    OtherPolicyActive,
    PolicyId,
)


@pytest.mark.parametrize("actor", ["ann", "max"])
def test_admins_and_managers_manage_service_levels(sla: SlaFixture, actor: str) -> None:
    calendar = sla.calendar(actor)
    policy = sla.policy(actor, calendar=calendar.id)
    who = sla.env.actor(actor)
    assert sla.policies.change(who, policy.id, {"name": "Gold"}).version == 2
    assert sla.application.apply(who, policy.id) == 0
    sla.policies.delete(who, policy.id)
    sla.calendars.delete(who, calendar.id)


def test_members_read_service_levels_and_do_not_change_them(sla: SlaFixture) -> None:
    calendar, policy = sla.calendar(), sla.policy()
    mia = sla.env.actor("mia")
    assert sla.calendars.get(mia, calendar.id) == calendar
    assert sla.policies.get(mia, policy.id) == policy
    assert sla.calendars.list(mia) == ([calendar], 1)
    assert sla.policies.list(mia) == ([policy], 1)
    for create in (sla.policy, sla.calendar):
        with pytest.raises(Invalid, match="project: is not a project that you may use"):
            create("mia")
    for refused in (
        lambda: sla.policies.change(mia, policy.id, {"name": "x"}),
        lambda: sla.policies.delete(mia, policy.id),
        lambda: sla.application.apply(mia, policy.id),
        lambda: sla.calendars.change(mia, calendar.id, {"name": "x"}),
        lambda: sla.calendars.delete(mia, calendar.id),
        lambda: sla.policies.check_change(mia, policy.id),
        lambda: sla.calendars.check_change(mia, calendar.id),
    ):
        with pytest.raises(NotAllowed):
            refused()


def test_outsiders_see_no_service_levels(sla: SlaFixture) -> None:
    calendar, policy = sla.calendar(), sla.policy()
    zoe = sla.env.actor("zoe")
    assert sla.calendars.list(zoe) == ([], 0)
    assert sla.policies.list(zoe) == ([], 0)
    for hidden in (
        lambda: sla.policies.get(zoe, policy.id),
        lambda: sla.policies.change(zoe, policy.id, {"name": "x"}),
        lambda: sla.application.apply(zoe, policy.id),
        lambda: sla.calendars.get(zoe, calendar.id),
        lambda: sla.calendars.delete(zoe, calendar.id),
        lambda: sla.policies.check_change(zoe, policy.id),
        lambda: sla.policies.get(zoe, PolicyId(99)),
        lambda: sla.calendars.get(zoe, CalendarId(99)),
    ):
        with pytest.raises(NotFound):
            hidden()
    with pytest.raises(Invalid) as caught:
        sla.policy("zoe")
    assert list(caught.value.field_errors) == ["project"]


def test_an_archived_project_refuses_changes(sla: SlaFixture) -> None:
    calendar, policy = sla.calendar(), sla.policy()
    sla.set_archived(is_archived=True)
    ann = sla.env.actor("ann")
    for refused in (
        sla.calendar,
        lambda: sla.policy(is_active=False),
        lambda: sla.policies.change(ann, policy.id, {"name": "x"}),
        lambda: sla.application.apply(ann, policy.id),
        lambda: sla.calendars.delete(ann, calendar.id),
    ):
        with pytest.raises(ProjectArchived):
            refused()
    assert sla.policies.get(ann, policy.id) == policy


def test_one_policy_of_a_project_is_active(sla: SlaFixture) -> None:
    first = sla.policy()
    with pytest.raises(OtherPolicyActive):
        sla.policy()
    second = sla.policy(is_active=False)
    ann = sla.env.actor("ann")
    with pytest.raises(OtherPolicyActive):
        sla.policies.change(ann, second.id, {"is_active": True})
    sla.policies.change(ann, first.id, {"is_active": False})
    assert sla.policies.change(ann, second.id, {"is_active": True}).is_active


def test_a_policy_uses_calendars_of_its_project_only(sla: SlaFixture) -> None:
    other = sla.env.project("bob")
    foreign = sla.calendar("bob", project=other.id)
    for calendar in (foreign.id, 99):
        with pytest.raises(Invalid) as caught:
            sla.policy(calendar=calendar)
        assert caught.value.field_errors == {"calendar": ["is not a calendar of the project"]}


def test_a_calendar_in_use_is_not_deleted(sla: SlaFixture) -> None:
    calendar = sla.calendar()
    policy = sla.policy(calendar=calendar.id)
    ann = sla.env.actor("ann")
    with pytest.raises(CalendarInUse):
        sla.calendars.delete(ann, calendar.id)
    sla.policies.change(ann, policy.id, {"calendar": None})
    sla.calendars.delete(ann, calendar.id)


def test_clocks_go_on_when_their_policy_is_deleted(sla: SlaFixture) -> None:
    policy = sla.policy()
    item = sla.task(priority="CRITICAL")
    sla.policies.delete(sla.env.actor("ann"), policy.id)
    sla.wait(61)
    sla.ticker.tick()
    assert sla.clocks(item)["resolution"].state is ClockState.BREACHED
    assert sla.clocks(sla.task(priority="CRITICAL")) == {}


@pytest.mark.parametrize(
    ("updates", "path"),
    [
        ({"name": " "}, "name"),
        ({"warn_percent": 0}, "warn_percent"),
        ({"warn_percent": 100}, "warn_percent"),
        ({"targets": {"HIGH": {"resolution_minutes": 0}}}, "targets.HIGH.resolution_minutes"),
        ({"targets": {"URGENT": {}}}, "targets.URGENT"),
        ({"pausing_statuses": ["DONE"]}, "pausing_statuses"),
        ({"pausing_statuses": ["WAITING"]}, "pausing_statuses.0"),
        ({"reopen": "again"}, "reopen"),
        ({"escalation": [{"after_minutes": 1, "notify": []}]}, "escalation.0.notify"),
        (
            {"escalation": [{"after_minutes": -1, "notify": ["ADMIN"]}]},
            "escalation.0.after_minutes",
        ),
        ({"project": 2}, "project"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_wrong_field_of_a_policy_is_named(
    sla: SlaFixture, updates: dict[str, Any], path: str
) -> None:
    policy = sla.policy()
    with pytest.raises(Invalid) as caught:
        sla.policies.change(sla.env.actor("ann"), policy.id, updates)
    assert list(caught.value.field_errors) == [path]


@pytest.mark.parametrize(
    ("updates", "path"),
    [
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"intervals": {"mon": [["9:00", "17:00"]]}}, "intervals.mon.0.0"),
        ({"intervals": {"mon": [["09:00"]]}}, "intervals.mon.0"),
        ({"intervals": {"mon": [["17:00", "09:00"]]}}, "intervals.mon"),
        ({"intervals": {}}, "intervals"),
        ({"exceptions": {"tomorrow": []}}, "exceptions.tomorrow"),
        ({"project": 2}, "project"),
    ],
)
def test_a_wrong_field_of_a_calendar_is_named(
    sla: SlaFixture, updates: dict[str, Any], path: str
) -> None:
    calendar = sla.calendar()
    with pytest.raises(Invalid) as caught:
        sla.calendars.change(sla.env.actor("ann"), calendar.id, updates)
    assert list(caught.value.field_errors) == [path]


def test_a_stale_version_names_the_changed_fields(sla: SlaFixture) -> None:
    policy, calendar, ann = sla.policy(), sla.calendar(), sla.env.actor("ann")
    sla.policies.change(ann, policy.id, {"warn_percent": 50}, version=1)
    sla.calendars.change(ann, calendar.id, {"name": "Other"}, version=1)
    with pytest.raises(StaleVersion) as caught:
        sla.policies.change(ann, policy.id, {"warn_percent": 60}, version=1)
    assert (caught.value.version, caught.value.changed) == (2, ("warn_percent",))
    with pytest.raises(StaleVersion) as caught:
        sla.calendars.delete(ann, calendar.id, version=1)
    assert caught.value.changed == ("name",)


def test_a_change_of_nothing_is_no_version(sla: SlaFixture) -> None:
    policy, calendar, ann = sla.policy(), sla.calendar(), sla.env.actor("ann")
    assert sla.policies.change(ann, policy.id, {"name": "Support"}) == policy
    assert sla.calendars.change(ann, calendar.id, {"intervals": OFFICE}) == calendar
    assert len(sla.env.audit("sla_policy")) == len(sla.env.audit("calendar")) == 1


def test_every_change_is_audited_with_the_project(sla: SlaFixture) -> None:
    calendar, policy, ann = sla.calendar(), sla.policy(), sla.env.actor("ann")
    sla.calendars.change(ann, calendar.id, {"time_zone": "Asia/Kathmandu"})
    sla.policies.change(ann, policy.id, {"pausing_statuses": ["REVIEW"]})
    sla.application.apply(ann, policy.id)
    sla.policies.delete(ann, policy.id)
    sla.calendars.delete(ann, calendar.id)
    entries = [*sla.env.audit("sla_policy"), *sla.env.audit("calendar")]
    assert [entry.action for entry in entries] == [
        *("CREATE", "UPDATE", "APPLY", "DELETE"),
        *("CREATE", "UPDATE", "DELETE"),
    ]
    assert {entry.project_id for entry in entries} == {sla.project.id}
    assert entries[1].changes == {"pausing_statuses": [[], ["REVIEW"]], "version": [1, 2]}
    assert entries[5].changes == {
        "time_zone": ["Europe/Berlin", "Asia/Kathmandu"],
        "version": [1, 2],
    }


def test_an_applied_policy_moves_open_clocks(sla: SlaFixture) -> None:
    policy, ann = sla.policy(), sla.env.actor("ann")
    opened, done = sla.task(priority="HIGH"), sla.task(priority="HIGH")
    sla.move(done, "DONE", "max")
    sla.wait(60)
    targets = {"HIGH": {"resolution_minutes": 120}}
    sla.policies.change(ann, policy.id, {"targets": targets, "calendar": sla.calendar().id})
    before = sla.clocks(done)
    assert sla.clocks(opened)["resolution"].deadline == minutes_after(480)
    assert sla.application.apply(ann, policy.id) == 2
    clocks = sla.clocks(opened)
    assert clocks["resolution"].deadline == minutes_after(120)
    assert clocks["resolution"].clock.pins.calendar_version == 1
    assert clocks["first_response"].state is ClockState.CANCELLED
    assert sla.stored(opened).sla_due_at == minutes_after(120)
    assert sla.clocks(done) == before
    assert sla.application.apply(ann, policy.id) == 0


def test_an_applied_policy_breaches_at_the_instant_when_its_target_was_reached(
    sla: SlaFixture,
) -> None:
    policy, ann = sla.policy(), sla.env.actor("ann")
    item = sla.task(priority="MEDIUM")
    sla.wait(120)
    sla.policies.change(ann, policy.id, {"targets": {"MEDIUM": {"resolution_minutes": 60}}})
    sla.application.apply(ann, policy.id)
    assert sla.clocks(item)["resolution"].clock.breached_at == minutes_after(60)
    assert sla.stored(item).is_sla_breached


def test_an_applied_policy_pauses_by_its_new_statuses(sla: SlaFixture) -> None:
    policy, ann = sla.policy(), sla.env.actor("ann")
    item = sla.task(priority="MEDIUM")
    sla.policies.change(ann, policy.id, {"pausing_statuses": ["BACKLOG"]})
    sla.application.apply(ann, policy.id)
    assert sla.clocks(item)["resolution"].state is ClockState.PAUSED


def test_only_the_active_policy_is_applied(sla: SlaFixture) -> None:
    policy = sla.policy(is_active=False)
    with pytest.raises(Conflict):
        sla.application.apply(sla.env.actor("ann"), policy.id)


def test_a_project_has_at_most_100_policies_and_calendars(sla: SlaFixture) -> None:
    for _ in range(MAX_POLICIES):
        sla.policy(is_active=False)
        sla.calendar()
    with pytest.raises(LimitReached):
        sla.policy(is_active=False)
    with pytest.raises(LimitReached):
        sla.calendar()
