"""Calendars and SLA policies: every field, versions, scopes and lists."""

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, after
from tests.contract.projects.sla_rows import OFFICE, TERMS, Team
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.projects.sla.calendar import BusinessHours, CalendarId
from workbell.domain.projects.sla.policy import PolicyId, SlaTerms


@pytest.fixture
def ann(store: AnyStore) -> Team:
    return Team.create(store, "ann")


@pytest.fixture
def ben(store: AnyStore, ann: Team) -> Team:
    assert ann.user.username == "ann"
    return Team.create(store, "ben")


def test_a_calendar_is_returned_as_it_was_inserted(store: AnyStore, ann: Team) -> None:
    with store.begin() as tx:
        added = tx.sla_calendars.add(ann.a_calendar())
    assert added == ann.a_calendar(id=added.id)
    with store.view() as tx:
        assert tx.sla_calendars.get(ALL_OWNERS, added.id) == added


def test_a_changed_calendar_keeps_its_versions(store: AnyStore, ann: Team) -> None:
    night = BusinessHours(time_zone="Asia/Kathmandu", weekly=(((0, 1440),),) * 7)
    with store.begin() as tx:
        first = tx.sla_calendars.add(ann.a_calendar())
        second = evolve(first, name="Night", hours=night, version=2, updated_at=after(1))
        tx.sla_calendars.replace(second)
    with store.view() as tx:
        assert tx.sla_calendars.get(ALL_OWNERS, first.id) == second
        keys = [(first.id, 1), (first.id, 2), (first.id, 3), (99, 1)]
        assert tx.sla_calendars.versions(keys) == {(first.id, 1): OFFICE, (first.id, 2): night}
        assert tx.sla_calendars.versions([]) == {}


def test_the_versions_of_a_deleted_calendar_stay(store: AnyStore, ann: Team) -> None:
    with store.begin() as tx:
        calendar = tx.sla_calendars.add(ann.a_calendar())
        tx.sla_calendars.delete(calendar.id)
    with store.view() as tx:
        with pytest.raises(NotFound):
            tx.sla_calendars.get(ALL_OWNERS, calendar.id)
        assert tx.sla_calendars.versions([(calendar.id, 1)]) == {(calendar.id, 1): OFFICE}


def test_ids_of_deleted_calendars_and_policies_are_not_reused(store: AnyStore, ann: Team) -> None:
    with store.begin() as tx:
        calendar = tx.sla_calendars.add(ann.a_calendar())
        policy = tx.sla_policies.add(ann.a_policy())
        tx.sla_calendars.delete(calendar.id)
        tx.sla_policies.delete(policy.id)
    with store.begin() as tx:
        assert tx.sla_calendars.add(ann.a_calendar()).id > calendar.id
        assert tx.sla_policies.add(ann.a_policy()).id > policy.id


def test_only_members_see_a_project_s_calendars_and_policies(
    store: AnyStore, ann: Team, ben: Team
) -> None:
    with store.begin() as tx:
        calendar = tx.sla_calendars.add(ann.a_calendar())
        policy = tx.sla_policies.add(ann.a_policy())
    with store.view() as tx:
        own, other = Scope(owner=ann.user.id), Scope(owner=ben.user.id)
        assert tx.sla_calendars.get(own, calendar.id) == calendar
        assert tx.sla_policies.get(own, policy.id) == policy
        assert tx.sla_calendars.list_page(own) == ([calendar], 1)
        assert tx.sla_policies.list_page(own) == ([policy], 1)
        with pytest.raises(NotFound):
            tx.sla_calendars.get(other, calendar.id)
        with pytest.raises(NotFound):
            tx.sla_policies.get(other, policy.id)
        assert tx.sla_calendars.list_page(other) == ([], 0)
        assert tx.sla_policies.list_page(other) == ([], 0)


def test_those_of_a_deleted_project_are_gone(store: AnyStore, ann: Team) -> None:
    with store.begin() as tx:
        calendar = tx.sla_calendars.add(ann.a_calendar())
        policy = tx.sla_policies.add(ann.a_policy())
        tx.projects.get_for_update(ALL_OWNERS, ann.project.id)
        tx.projects.replace(ann.project.delete(NOON))
    with store.view() as tx:
        with pytest.raises(NotFound):
            tx.sla_calendars.get(ALL_OWNERS, calendar.id)
        with pytest.raises(NotFound):
            tx.sla_policies.get(ALL_OWNERS, policy.id)
        assert tx.sla_policies.list_page(ALL_OWNERS) == ([], 0)


def test_a_policy_is_returned_as_it_was_inserted(store: AnyStore, ann: Team) -> None:
    wanted = ann.a_policy(calendar_id=CalendarId(2**40), is_active=False)
    with store.begin() as tx:
        added = tx.sla_policies.add(wanted)
    assert added == evolve(wanted, id=added.id)
    with store.view() as tx:
        assert tx.sla_policies.get(ALL_OWNERS, added.id) == added


def test_a_changed_policy_keeps_its_versions(store: AnyStore, ann: Team) -> None:
    with store.begin() as tx:
        first = tx.sla_policies.add(ann.a_policy())
        second = evolve(first, name="None", terms=SlaTerms(), is_active=False).touch(after(1))
        tx.sla_policies.replace(second)
    with store.view() as tx:
        assert tx.sla_policies.get(ALL_OWNERS, first.id) == second
        keys = [(first.id, 1), (first.id, 2)]
        assert tx.sla_policies.versions(keys) == {(first.id, 1): TERMS, (first.id, 2): SlaTerms()}


def test_what_does_not_exist_cannot_be_replaced(store: AnyStore, ann: Team) -> None:
    with store.begin() as tx:
        with pytest.raises(NotFound):
            tx.sla_calendars.replace(ann.a_calendar(id=CalendarId(99)))
        with pytest.raises(NotFound):
            tx.sla_policies.replace(ann.a_policy(id=PolicyId(99)))


def test_the_active_policy_of_a_project_is_found(store: AnyStore, ann: Team, ben: Team) -> None:
    with store.begin() as tx:
        tx.sla_policies.add(ann.a_policy(is_active=False))
        active = tx.sla_policies.add(ann.a_policy())
    with store.view() as tx:
        assert tx.sla_policies.find_active(ann.project.id) == active
        assert tx.sla_policies.find_active(ben.project.id) is None


def test_a_calendar_in_use_is_known(store: AnyStore, ann: Team) -> None:
    with store.begin() as tx:
        used, other = (tx.sla_calendars.add(ann.a_calendar()) for _ in range(2))
        tx.sla_policies.add(ann.a_policy(calendar_id=used.id))
    with store.view() as tx:
        assert tx.sla_policies.uses_calendar(used.id)
        assert not tx.sla_policies.uses_calendar(other.id)


def test_lists_are_filtered_and_paged_by_id(store: AnyStore, ann: Team, ben: Team) -> None:
    with store.begin() as tx:
        first, second, third = (
            tx.sla_policies.add(team.a_policy(is_active=active))
            for team, active in ((ann, False), (ben, True), (ann, True))
        )
        calendars = [tx.sla_calendars.add(team.a_calendar()) for team in (ann, ben, ann)]
    with store.view() as tx:
        policies = tx.sla_policies
        assert policies.list_page(ALL_OWNERS, offset=1, limit=1) == ([second], 3)
        assert policies.list_page(ALL_OWNERS, project_id=ann.project.id) == ([first, third], 2)
        assert policies.list_page(ALL_OWNERS, is_active=True) == ([second, third], 2)
        of_ann = tx.sla_calendars.list_page(ALL_OWNERS, project_id=ann.project.id, limit=1)
        assert of_ann == ([calendars[0]], 2)
