"""Projects: creation, visibility, archive, deletion, members."""

from collections.abc import Callable

import pytest

from tests.services.projects.environment import ProjectFixture
from workbell.domain.errors import Conflict, Invalid, LimitReached, NotAllowed, NotFound
from workbell.domain.identity.actor import ANONYMOUS
from workbell.domain.identity.user import Role
from workbell.domain.projects.board import Board
from workbell.domain.projects.project import Project, ProjectArchived, ProjectRole
from workbell.domain.projects.work_item import WorkItemStatus
from workbell.ports.projects.repository import ProjectFilter
from workbell.services.projects import project_members
from workbell.services.projects.requests import (
    Assignment,
    BulkEdit,
    CommentChange,
    FormerProjectMember,
    Move,
    NewBoard,
    NewComment,
    NewProject,
    NewProjectMember,
    NewWorkItem,
)


def names(env: ProjectFixture, actor: str, **filters: object) -> list[str]:
    found, total = env.projects.list(env.actor(actor), ProjectFilter(**filters), ["name"])  # type: ignore[arg-type]
    assert total == len(found)
    return [detail.view.project.name for detail in found]


def roles(env: ProjectFixture, project: Project) -> dict[str, str]:
    detail = env.projects.get(env.actor("ann"), project.id)
    return {each.user.username: each.member.role.value for each in detail.members}


def test_the_creator_owns_a_project_and_is_its_admin(env: ProjectFixture) -> None:
    project = env.project()
    assert project.owner_id == env.actor("ann").user_id
    assert roles(env, project) == {"ann": "ADMIN"}
    assert env.audit("project")[-1].project_id == project.id


def test_creating_a_project_needs_a_login(env: ProjectFixture) -> None:
    with pytest.raises(NotAllowed):
        env.projects.create(ANONYMOUS, NewProject(name="Website"))


def test_users_see_the_projects_of_which_they_are_members(
    env: ProjectFixture, project: Project
) -> None:
    assert names(env, "mia") == ["Website"]
    assert names(env, "eve") == []
    assert names(env, "root") == []
    assert names(env, "super", is_archived=None) == []
    assert names(env, "ann", search="web") == ["Website"]
    assert names(env, "ann", is_archived=True) == []


def test_platform_admins_manage_and_platform_managers_read_every_project(
    env: ProjectFixture, project: Project
) -> None:
    admin, manager = env.actor("boss", role=Role.ADMIN), env.actor("aud", role=Role.MANAGER)
    assert env.projects.change(admin, project.id, {"name": "New"}).view.project.name == "New"
    assert env.projects.get(manager, project.id).view.member_count == 3
    with pytest.raises(NotAllowed):
        env.projects.change(manager, project.id, {"name": "Other"})


def test_outsiders_do_not_find_a_project(env: ProjectFixture, project: Project) -> None:
    eve = env.actor("eve")
    with pytest.raises(NotFound):
        env.projects.get(eve, project.id)
    with pytest.raises(NotFound):
        env.projects.delete(eve, project.id)


@pytest.mark.parametrize("name", ["max", "mia"])
def test_only_admins_change_and_delete_a_project(
    env: ProjectFixture, project: Project, name: str
) -> None:
    with pytest.raises(NotAllowed):
        env.projects.change(env.actor(name), project.id, {"name": "Mine"})
    with pytest.raises(NotAllowed):
        env.projects.delete(env.actor(name), project.id)


def test_a_change_is_audited_with_both_values(env: ProjectFixture, project: Project) -> None:
    env.projects.change(env.actor("ann"), project.id, {"name": "Shop"})
    entry = env.audit("project")[-1]
    assert (entry.action, entry.changes) == ("UPDATE", {"name": ["Website", "Shop"]})
    env.projects.change(env.actor("ann"), project.id, {"name": "Shop"})
    assert env.audit("project")[-1] == entry


def test_wrong_fields_are_named(env: ProjectFixture, project: Project) -> None:
    with pytest.raises(Invalid) as caught:
        env.projects.change(env.actor("ann"), project.id, {"name": "", "colour": "red"})
    assert set(caught.value.field_errors) == {"name", "colour"}


def test_an_archived_project_refuses_every_write(
    env: ProjectFixture, project: Project, board: Board
) -> None:
    ann, task = env.actor("ann"), env.task(board)
    comment = env.comments.add(ann, task.id, NewComment(content="Hi")).comment
    env.projects.change(ann, project.id, {"is_archived": True})
    writes: list[Callable[[], object]] = [
        lambda: env.projects.change(ann, project.id, {"name": "New", "is_archived": True}),
        lambda: env.projects.delete(ann, project.id),
        lambda: env.join(project, "bob"),
        lambda: env.members.remove(
            ann, project.id, FormerProjectMember(user_id=env.actor("mia").user_id)
        ),
        lambda: env.boards.create(ann, NewBoard(name="B", project=project.id)),
        lambda: env.boards.change(ann, board.id, {"name": "B"}),
        lambda: env.boards.delete(ann, board.id),
        lambda: env.work_items.create(ann, NewWorkItem(title="T", board=board.id)),
        lambda: env.work_items.change(ann, task.id, {"title": "T"}),
        lambda: env.work_items.assign(ann, task.id, Assignment(assignee_id=None)),
        lambda: env.work_items.move(ann, task.id, Move(status=WorkItemStatus.DONE)),
        lambda: env.work_items.watch(ann, task.id, on=True),
        lambda: env.work_items.delete(ann, task.id),
        lambda: env.comments.add(ann, task.id, NewComment(content="Hi")),
        lambda: env.comments.edit(ann, comment.id, CommentChange(content="Ho")),
        lambda: env.comments.delete(ann, comment.id),
    ]
    for write in writes:
        with pytest.raises(ProjectArchived):
            write()
    result = env.bulk.edit(ann, BulkEdit(ids=[task.id], set={"priority": "HIGH"}, mode="each"))
    assert result.results[0].code == "project_archived"
    assert env.stored(task.id).version == 1
    assert names(env, "ann", is_archived=True) == ["Website"]


def test_a_restored_project_is_writable_again(env: ProjectFixture, project: Project) -> None:
    ann = env.actor("ann")
    env.projects.change(ann, project.id, {"is_archived": True})
    env.projects.change(ann, project.id, {"is_archived": False})
    assert [entry.action for entry in env.audit("project")] == ["CREATE", "ARCHIVE", "RESTORE"]
    env.board(project)


def test_a_deleted_project_hides_everything_in_it(
    env: ProjectFixture, project: Project, board: Board
) -> None:
    ann, task = env.actor("ann"), env.task(board)
    env.projects.delete(ann, project.id)
    for read in (
        lambda: env.projects.get(ann, project.id),
        lambda: env.boards.get(ann, board.id),
        lambda: env.work_items.get(ann, task.id),
    ):
        with pytest.raises(NotFound):
            read()
    assert env.find() == []


def test_members_get_another_role_by_being_added_again(
    env: ProjectFixture, project: Project
) -> None:
    env.join(project, "mia", "MANAGER")
    assert roles(env, project)["mia"] == "MANAGER"
    assert env.audit("project_member")[-1].changes == {"role": ["MEMBER", "MANAGER"]}
    with pytest.raises(Conflict, match="already"):
        env.join(project, "mia", "MANAGER")


def test_an_unknown_user_is_a_field_error(env: ProjectFixture, project: Project) -> None:
    with pytest.raises(Invalid) as caught:
        env.members.add(env.actor("ann"), project.id, NewProjectMember(user_id=999))
    assert list(caught.value.field_errors) == ["user_id"]


def test_the_owner_stays_an_admin(env: ProjectFixture, project: Project) -> None:
    ann = env.actor("ann")
    with pytest.raises(Invalid, match="stays so"):
        env.members.add(
            ann, project.id, NewProjectMember(user_id=ann.user_id, role=ProjectRole.MEMBER)
        )
    with pytest.raises(Invalid, match="owner"):
        env.members.remove(ann, project.id, FormerProjectMember(user_id=ann.user_id))


def test_a_removed_member_no_longer_sees_or_watches_anything(
    env: ProjectFixture, project: Project, board: Board
) -> None:
    mia, task = env.actor("mia"), env.task(board)
    env.work_items.watch(mia, task.id, on=True)
    env.members.remove(env.actor("ann"), project.id, FormerProjectMember(user_id=mia.user_id))
    with pytest.raises(NotFound):
        env.work_items.get(mia, task.id)
    assert env.work_items.get(env.actor("ann"), task.id).view.watchers == ()
    with pytest.raises(Invalid, match="not a member"):
        env.members.remove(env.actor("ann"), project.id, FormerProjectMember(user_id=mia.user_id))


def test_members_leave_by_themselves_but_remove_no_other_member(
    env: ProjectFixture, project: Project
) -> None:
    mia, former = env.actor("mia"), env.actor("max")
    with pytest.raises(NotAllowed):
        env.members.remove(mia, project.id, FormerProjectMember(user_id=former.user_id))
    env.members.remove(mia, project.id, FormerProjectMember(user_id=mia.user_id))
    assert set(roles(env, project)) == {"ann", "max"}


def test_the_number_of_members_is_limited(
    env: ProjectFixture, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_members, "MAX_MEMBERS", 3)
    with pytest.raises(LimitReached, match="at most 3 members"):
        env.join(project, "bob")
