"""Members of projects."""

import pytest
from attrs import evolve

from tests.contract.factories import AnyStore, a_user, after
from tests.contract.projects.rows import Team, a_member, add_item
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.user import UserId
from workbell.domain.projects.project import ProjectRole


def test_a_member_is_stored_and_the_role_changes(store: AnyStore, ann: Team, ben: Team) -> None:
    with store.begin() as tx:
        member = tx.project_members.add(a_member(ann.project, ben.user))
        manager = evolve(member, role=ProjectRole.MANAGER)
        tx.project_members.replace(manager)
        with pytest.raises(NotFound):
            tx.project_members.replace(a_member(ben.project, ann.user))
    with store.view() as tx:
        assert tx.project_members.find(ann.project.id, ben.user.id) == manager
        assert tx.project_members.find(ben.project.id, ann.user.id) is None


def test_a_user_is_a_member_once(store: AnyStore, ann: Team) -> None:
    with pytest.raises(Conflict), store.begin() as tx:
        tx.project_members.add(a_member(ann.project, ann.user))


def test_a_user_without_membership_watches_nothing_in_the_project(
    store: AnyStore, ann: Team, ben: Team
) -> None:
    item, other = add_item(store, ann, "a"), add_item(store, ben, "a")
    with store.begin() as tx:
        tx.project_members.add(a_member(ann.project, ben.user))
        for each in (item, other):
            for team in (ann, ben):
                tx.watchers.add(each, team.user.id)
        assert tx.project_members.remove(ann.project.id, ben.user.id)
        assert not tx.project_members.remove(ann.project.id, ben.user.id)
        assert tx.project_members.find(ann.project.id, ben.user.id) is None
        assert tx.watchers.list_of(item.id) == [ann.user.id]
        assert tx.watchers.list_of(other.id) == [ann.user.id, ben.user.id]


def test_members_are_listed_by_project_and_time_of_joining(
    store: AnyStore, ann: Team, ben: Team
) -> None:
    with store.begin() as tx:
        late = tx.users.add(a_user("late"))
        tx.project_members.add(a_member(ann.project, late, joined_at=after(2)))
        tx.project_members.add(a_member(ann.project, ben.user, joined_at=after(1)))
    with store.view() as tx:
        views = tx.project_members.list_of([ben.project.id, ann.project.id])
        assert [(view.member.project_id, view.user) for view in views] == [
            (ann.project.id, ann.user),
            (ann.project.id, ben.user),
            (ann.project.id, late),
            (ben.project.id, ben.user),
        ]
        assert tx.project_members.list_of([]) == []


def test_roles_and_usernames_are_those_of_members(store: AnyStore, ann: Team, ben: Team) -> None:
    with store.begin() as tx:
        tx.project_members.add(a_member(ann.project, ben.user))
        outsider = tx.users.add(a_user("eve"))
        everyone = [ann.user.id, ben.user.id, outsider.id, UserId(99)]
        assert tx.project_members.roles(ann.project.id, everyone) == {
            ann.user.id: ProjectRole.ADMIN,
            ben.user.id: ProjectRole.MEMBER,
        }
        assert tx.project_members.roles(ann.project.id, []) == {}
        by_username = tx.project_members.by_username
        assert by_username(ann.project.id, ["BEN", "ann", "eve", "none"]) == [
            ann.user.id, ben.user.id,
        ]  # fmt: skip
        assert by_username(ben.project.id, ["ann"]) == []
        assert by_username(ben.project.id, []) == []


def test_administered_projects_are_those_with_the_role_admin(
    store: AnyStore, ann: Team, ben: Team
) -> None:
    with store.begin() as tx:
        tx.project_members.add(a_member(ann.project, ben.user, ProjectRole.ADMIN))
        tx.project_members.add(a_member(ben.project, ann.user, ProjectRole.MANAGER))
        assert tx.project_members.administered_by(ann.user.id) == [ann.project.id]
        assert tx.project_members.administered_by(ben.user.id) == [
            ann.project.id, ben.project.id,
        ]  # fmt: skip
