"""Comments: threads, mentions, own and others'."""

import pytest

from tests.services.projects.environment import ProjectFixture
from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.permissions import Action
from workbell.domain.identity.user import Role
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.projects.board import Board
from workbell.domain.projects.comment import Comment
from workbell.domain.projects.work_item import WorkItem
from workbell.services.projects.requests import CommentChange, NewComment


@pytest.fixture
def task(env: ProjectFixture, board: Board) -> WorkItem:
    """Return a task that max reported."""
    return env.task(board, reporter="max")


def add(
    env: ProjectFixture,
    task: WorkItem,
    content: str = "Hello",
    name: str = "mia",
    parent: int | None = None,
) -> Comment:
    new = NewComment(content=content, parent=parent)
    return env.comments.add(env.actor(name), task.id, new).comment


def kinds(env: ProjectFixture, name: str) -> list[NoticeKind]:
    return [notice.kind for notice in env.notices(name)]


def test_threads_are_listed_with_their_replies(env: ProjectFixture, task: WorkItem) -> None:
    first = add(env, task, "first")
    second = add(env, task, "second")
    reply = add(env, task, "reply", "ann", first.id)
    found, total = env.comments.list(env.actor("max"), task.id)
    assert [view.comment.content for view in found] == ["first", "reply", "second"]
    assert total == 2
    assert (reply.parent_id, reply.depth, second.depth) == (first.id, 2, 1)
    assert env.stored(task.id).comment_count == 3


def test_a_comment_is_in_the_history_of_its_project(
    env: ProjectFixture, board: Board, task: WorkItem
) -> None:
    comment = add(env, task)
    [entry] = env.audit("comment")
    assert (entry.action, entry.object_id) == ("CREATE", str(comment.id))
    assert entry.project_id == board.project_id
    assert entry.changes["content"] == [None, "Hello"]


def test_a_parent_on_another_task_is_a_field_error(
    env: ProjectFixture, board: Board, task: WorkItem
) -> None:
    other = add(env, env.task(board))
    for parent in (other.id, 999):
        with pytest.raises(Invalid) as caught:
            add(env, task, parent=parent)
        assert list(caught.value.field_errors) == ["parent"]


def test_a_deleted_comment_gets_no_replies(env: ProjectFixture, task: WorkItem) -> None:
    comment = add(env, task)
    env.comments.delete(env.actor("mia"), comment.id)
    with pytest.raises(Invalid):
        add(env, task, parent=comment.id)


def test_members_are_mentioned_outsiders_and_authors_are_not(
    env: ProjectFixture, task: WorkItem
) -> None:
    env.actor("eve")
    add(env, task, "@ann @eve @mia `@max`")
    assert kinds(env, "ann") == [NoticeKind.MENTION]
    assert kinds(env, "max") == [NoticeKind.COMMENT]
    assert kinds(env, "eve") == []
    assert kinds(env, "mia") == []


def test_a_comment_notifies_watchers_once(env: ProjectFixture, task: WorkItem) -> None:
    env.work_items.watch(env.actor("ann"), task.id, on=True)
    add(env, task, "Hello @ann")
    assert kinds(env, "ann") == [NoticeKind.MENTION]


def test_an_edit_notifies_only_those_newly_mentioned(env: ProjectFixture, task: WorkItem) -> None:
    comment = add(env, task, "@ann")
    view = env.comments.edit(env.actor("mia"), comment.id, CommentChange(content="@ann and @max"))
    assert view.comment.edited_at is not None
    assert kinds(env, "ann") == [NoticeKind.MENTION]
    assert kinds(env, "max") == [NoticeKind.MENTION, NoticeKind.COMMENT]


def test_only_authors_edit(env: ProjectFixture, task: WorkItem) -> None:
    comment = add(env, task)
    for name in ("ann", "max"):
        with pytest.raises(NotAllowed):
            env.comments.edit(env.actor(name), comment.id, CommentChange(content="Mine"))
    boss = env.actor("boss", role=Role.ADMIN)
    with pytest.raises(NotAllowed):
        env.comments.edit(boss, comment.id, CommentChange(content="Mine"))
    same = env.comments.edit(env.actor("mia"), comment.id, CommentChange(content="Hello"))
    assert same.comment == comment


def test_authors_managers_and_admins_delete(env: ProjectFixture, task: WorkItem) -> None:
    for name in ("mia", "max", "ann"):
        env.comments.delete(env.actor(name), add(env, task).id)
    other = add(env, task, name="ann")
    with pytest.raises(NotAllowed):
        env.comments.delete(env.actor("mia"), other.id)
    assert env.stored(task.id).comment_count == 1


def test_a_deleted_comment_leaves_its_replies(env: ProjectFixture, task: WorkItem) -> None:
    comment = add(env, task)
    add(env, task, "reply", parent=comment.id)
    env.comments.delete(env.actor("mia"), comment.id)
    found, _ = env.comments.list(env.actor("mia"), task.id)
    assert [view.comment.content for view in found] == ["", "reply"]
    with pytest.raises(NotFound):
        env.comments.delete(env.actor("mia"), comment.id)
    env.comments.check_access(env.actor("ann"), found[1].comment.id, Action.DELETE_COMMENT)


def test_outsiders_find_neither_comments_nor_tasks(env: ProjectFixture, task: WorkItem) -> None:
    comment, eve = add(env, task), env.actor("eve")
    with pytest.raises(NotFound):
        env.comments.list(eve, task.id)
    with pytest.raises(NotFound):
        env.comments.edit(eve, comment.id, CommentChange(content="x"))
    with pytest.raises(NotFound):
        env.comments.check_access(eve, comment.id, Action.DELETE_COMMENT)


def test_comments_are_found_by_a_search(env: ProjectFixture, task: WorkItem) -> None:
    comment = add(env, task, "a pelican")
    assert [view.item.id for view in env.find(search="pelican")] == [task.id]
    env.comments.edit(env.actor("mia"), comment.id, CommentChange(content="a heron"))
    assert env.find(search="pelican") == []
    assert len(env.find(search="heron")) == 1
    env.comments.delete(env.actor("mia"), comment.id)
    assert env.find(search="heron") == []
