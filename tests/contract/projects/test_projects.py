"""Projects: scope, numbers, deletion and lists."""

from datetime import timedelta

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, after
from tests.contract.projects.rows import NO_ONE, Team, a_board, a_member, a_project
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.projects.project import Project, ProjectId
from workbell.ports.projects.repository import ProjectFilter


def change(store: AnyStore, project: Project) -> None:
    with store.begin() as tx:
        tx.projects.get_for_update(ALL_OWNERS, project.id)
        tx.projects.replace(project)


def names(store: AnyStore, scope: Scope, *ordering: str, **page: int) -> list[str]:
    with store.view() as tx:
        order = ordering or ("-created_at",)
        views, total = tx.projects.list_page(scope, ProjectFilter(), ordering=order, **page)
    assert page or total == len(views)
    return [view.project.name for view in views]


def test_a_project_is_returned_as_it_was_inserted(store: AnyStore, ann: Team) -> None:
    wanted = a_project(
        ann.user,
        "Müller & Söhne 日本 🚀",
        description="x" * 70_000,
        is_archived=True,
        created_at=NOON + timedelta(microseconds=1),
    )
    with store.begin() as tx:
        stored = tx.projects.add(wanted)
    assert stored == evolve(wanted, id=stored.id)
    with store.view() as tx:
        assert tx.projects.get(ALL_OWNERS, stored.id) == stored


def test_only_members_and_everyone_get_a_project(store: AnyStore, ann: Team, ben: Team) -> None:
    with store.begin() as tx:
        tx.project_members.add(a_member(ben.project, ann.user))
        for get in (tx.projects.get, tx.projects.get_for_update, tx.projects.get_for_write):
            for project in (ann.project, ben.project):
                assert get(ann.scope, project.id) == project
                assert get(ALL_OWNERS, project.id) == project
            for scope, project_id in (
                (ben.scope, ann.project.id),
                (NO_ONE, ann.project.id),
                (ALL_OWNERS, ProjectId(99)),
            ):
                with pytest.raises(NotFound, match=f"There is no project {project_id}"):
                    get(scope, project_id)
        with pytest.raises(NotFound):
            tx.projects.view(ben.scope, ann.project.id)


def test_a_changed_project_is_stored(store: AnyStore, ann: Team) -> None:
    changed = evolve(ann.project, name="Other", is_archived=True, updated_at=after(1))
    change(store, changed)
    with store.view() as tx:
        assert tx.projects.get(ann.scope, changed.id) == changed
    with pytest.raises(NotFound), store.begin() as tx:
        tx.projects.replace(a_project(ann.user))


def test_a_view_has_the_owner_and_the_numbers_of_boards_and_members(
    store: AnyStore, ann: Team, ben: Team
) -> None:
    with store.begin() as tx:
        tx.boards.add(a_board(ann.project, deleted_at=NOON))
        tx.boards.add(a_board(ann.project))
        for user in (ben.user,):
            tx.project_members.add(a_member(ann.project, user))
    with store.view() as tx:
        view = tx.projects.view(ann.scope, ann.project.id)
        assert (view.project, view.owner) == (ann.project, ann.user)
        assert (view.board_count, view.member_count) == (2, 2)
        assert view in tx.projects.list_page(ann.scope, ProjectFilter())[0]


def test_a_deleted_project_is_gone_with_everything_in_it(store: AnyStore, ann: Team) -> None:
    change(store, ann.project.delete(after(1)))
    with store.view() as tx:
        for scope in (ann.scope, ALL_OWNERS):
            with pytest.raises(NotFound):
                tx.projects.get(scope, ann.project.id)
            with pytest.raises(NotFound):
                tx.boards.get(scope, ann.board.id)
            assert tx.boards.list_page(scope, project_id=ann.project.id) == ([], 0)
        assert tx.projects.list_page(ann.scope, ProjectFilter()) == ([], 0)
        assert tx.project_members.administered_by(ann.user.id) == []


def test_projects_are_listed_by_scope_order_and_page(store: AnyStore, ann: Team, ben: Team) -> None:
    with store.begin() as tx:
        for number, name in enumerate(("c", "b", "a")):
            project = a_project(ann.user, name, created_at=after(number), updated_at=after(-number))
            tx.project_members.add(a_member(tx.projects.add(project), ann.user))
    assert names(store, ann.scope) == ["a", "b", "c", "ann's project"]
    assert names(store, ann.scope, "created_at", "name") == ["ann's project", "c", "b", "a"]
    assert names(store, ann.scope, "updated_at") == ["a", "b", "ann's project", "c"]
    assert names(store, ann.scope, "-name") == ["c", "b", "ann's project", "a"]
    assert names(store, ann.scope, "name", offset=1, limit=2) == ["ann's project", "b"]
    assert len(names(store, ALL_OWNERS)) == 5
    assert names(store, NO_ONE) == []


def test_projects_are_filtered(store: AnyStore, ann: Team, ben: Team) -> None:
    change(store, evolve(ann.project, is_archived=True, name="50% Off"))
    with store.view() as tx:
        for filters, found in (
            (ProjectFilter(is_archived=True), [ann.project.id]),
            (ProjectFilter(is_archived=False), [ben.project.id]),
            (ProjectFilter(search="OFF"), [ann.project.id]),
            (ProjectFilter(search="0%"), [ann.project.id]),
            (ProjectFilter(search="_"), []),
            (ProjectFilter(search="ben", is_archived=True), []),
        ):
            views, total = tx.projects.list_page(ALL_OWNERS, filters)
            assert ([view.project.id for view in views], total) == (found, len(found))
