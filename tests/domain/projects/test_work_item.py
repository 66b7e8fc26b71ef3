"""Tasks: completion, versions and history."""

from datetime import UTC, datetime, timedelta

import pytest

from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.domain.projects.comment import MAX_DEPTH, Comment, depth_below
from workbell.domain.projects.history import MAX_HISTORY_TEXT, shorten_changes
from workbell.domain.projects.project import Project, ProjectArchived, ProjectId, ProjectRole
from workbell.domain.projects.work_item import WorkItem, WorkItemId, WorkItemStatus

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def make_item() -> WorkItem:
    return WorkItem(
        project_id=ProjectId(1),
        board_id=1,
        title="Task",
        reporter_id=UserId(1),
        rank="i",
        created_at=NOW,
        updated_at=NOW,
    )


def make_comment(depth: int = 1) -> Comment:
    return Comment(
        project_id=ProjectId(1),
        work_item_id=WorkItemId(1),
        author_id=UserId(1),
        content="Hello",
        depth=depth,
        created_at=NOW,
    )


def test_entering_done_completes_a_task_and_leaving_it_reopens_it() -> None:
    done = make_item().in_status(WorkItemStatus.DONE, LATER)
    assert done.is_done
    assert done.completed_at == LATER
    reopened = done.in_status(WorkItemStatus.TODO, LATER)
    assert not reopened.is_done
    assert reopened.completed_at is None


def test_the_same_status_changes_nothing() -> None:
    done = make_item().in_status(WorkItemStatus.DONE, NOW)
    assert done.in_status(WorkItemStatus.DONE, LATER) is done


def test_a_change_raises_the_version() -> None:
    touched = make_item().touched(LATER)
    assert (touched.version, touched.updated_at) == (2, LATER)


def test_a_deleted_task_keeps_its_rank() -> None:
    deleted = make_item().delete(LATER)
    assert (deleted.deleted_at, deleted.rank) == (LATER, "i")


def test_comments_nest_ten_deep() -> None:
    assert depth_below(None) == 1
    assert depth_below(make_comment(MAX_DEPTH - 1)) == MAX_DEPTH
    with pytest.raises(Invalid, match="deeper than 10"):
        depth_below(make_comment(MAX_DEPTH))


def test_a_deleted_comment_has_no_content() -> None:
    edited = make_comment().edit("New", LATER)
    assert (edited.content, edited.edited_at) == ("New", LATER)
    deleted = edited.delete(LATER)
    assert (deleted.content, deleted.deleted_at) == ("", LATER)


def test_the_history_shortens_long_texts() -> None:
    long = "x" * (MAX_HISTORY_TEXT + 1)
    changes = shorten_changes({"description": ["short", long], "labels": [[], ["a"]]})
    assert changes["labels"] == [[], ["a"]]
    assert changes["description"][0] == "short"
    assert changes["description"][1].endswith("... (2,001 characters)")


def test_an_archived_project_is_read_only_and_its_owner_stays() -> None:
    project = Project(
        name="Project", owner_id=UserId(7), is_archived=True, created_at=NOW, updated_at=NOW
    )
    with pytest.raises(ProjectArchived, match="restore it first"):
        project.check_writable()
    project.check_removable(UserId(8))
    with pytest.raises(Invalid, match="user_id"):
        project.check_removable(UserId(7))
    assert project.delete(LATER).deleted_at == LATER


@pytest.mark.parametrize("role", sorted(ProjectRole))
def test_each_role_is_a_relation(role: ProjectRole) -> None:
    assert role.relation == f"project {role}"
