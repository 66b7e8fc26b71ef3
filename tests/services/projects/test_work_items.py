"""Tasks: creation, edits, moves, watching, deletion."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.services.projects.environment import ProjectFixture
from workbell.domain.errors import (
    Conflict,
    Invalid,
    LimitReached,
    NotAllowed,
    NotFound,
    StaleVersion,
)
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.projects import rank as ranks
from workbell.domain.projects.board import Board, BoardColumn, TransitionRefused
from workbell.domain.projects.project import Project
from workbell.domain.projects.work_item import WorkItemPriority, WorkItemStatus
from workbell.services.projects.listing import WorkItemConditions
from workbell.services.projects.ranks import REBALANCE_TASK
from workbell.services.projects.requests import Assignment, Move, NewComment, NewWorkItem

DUE = datetime(2030, 2, 1, tzinfo=UTC)
DONE, TODO = WorkItemStatus.DONE, WorkItemStatus.TODO


def test_a_task_has_defaults(env: ProjectFixture, board: Board) -> None:
    task = env.task(board, reporter="mia")
    assert task.status is WorkItemStatus.BACKLOG
    assert task.priority is WorkItemPriority.MEDIUM
    assert task.reporter_id == env.actor("mia").user_id
    assert (task.version, task.comment_count, task.completed_at) == (1, 0, None)
    [entry] = env.audit("task")
    assert (entry.action, entry.project_id) == ("CREATE", board.project_id)


def test_a_task_keeps_what_it_is_given(env: ProjectFixture, board: Board) -> None:
    task = env.task(
        board,
        title="Ship",
        status=DONE,
        labels=["a", "b", "a"],
        due_date=DUE,
        estimated_hours=Decimal("1.50"),
        assignee=env.actor("mia").user_id,
    )
    assert env.stored(task.id) == task
    assert (task.labels, task.due_date, task.estimated_hours) == (("a", "b"), DUE, Decimal("1.5"))
    assert task.completed_at == task.created_at


def test_new_tasks_follow_the_others(env: ProjectFixture, board: Board) -> None:
    for title in "abc":
        env.task(board, title=title)
    assert env.titles(board) == ["a", "b", "c"]


def test_a_board_of_others_is_a_field_error(env: ProjectFixture, board: Board) -> None:
    for board_id in (board.id, 999):
        with pytest.raises(Invalid) as caught:
            env.work_items.create(env.actor("eve"), NewWorkItem(title="T", board=board_id))
        assert caught.value.field_errors == {"board": ["is not the id of a board"]}


def test_only_members_can_be_assigned(env: ProjectFixture, board: Board) -> None:
    eve = env.actor("eve").user_id
    with pytest.raises(Invalid) as caught:
        env.task(board, assignee=eve)
    assert list(caught.value.field_errors) == ["assignee"]
    with pytest.raises(Invalid) as caught:
        env.work_items.assign(env.actor("ann"), env.task(board).id, Assignment(assignee_id=eve))
    assert list(caught.value.field_errors) == ["assignee_id"]


def test_a_status_without_a_column_is_refused(env: ProjectFixture, project: Project) -> None:
    board = env.board(project, columns=[BoardColumn(name="Open", status=TODO)])
    assert env.task(board).status is TODO
    with pytest.raises(Invalid, match="no column"):
        env.task(board, status=DONE)


def test_an_edit_changes_only_what_it_names(env: ProjectFixture, board: Board) -> None:
    task = env.task(board, description="Long", labels=["a"])
    view = env.work_items.change(env.actor("mia"), task.id, {"title": "New", "status": "DONE"})
    assert (view.item.title, view.item.description, view.item.labels) == ("New", "Long", ("a",))
    assert (view.item.version, view.item.completed_at) == (2, view.item.updated_at)
    assert env.audit("task")[-1].changes == {
        "title": ["Task", "New"],
        "status": ["BACKLOG", "DONE"],
        "version": [1, 2],
    }


def test_an_edit_that_changes_nothing_leaves_no_trace(env: ProjectFixture, board: Board) -> None:
    task = env.task(board)
    view = env.work_items.change(env.actor("ann"), task.id, {"title": "Task"})
    assert view.item == task
    assert len(env.audit("task")) == 1


def test_a_stale_version_names_the_fields_changed_since(env: ProjectFixture, board: Board) -> None:
    ann, task = env.actor("ann"), env.task(board)
    env.work_items.change(ann, task.id, {"title": "New"})
    env.work_items.change(ann, task.id, {"priority": "HIGH"})
    with pytest.raises(StaleVersion) as caught:
        env.work_items.change(ann, task.id, {"description": "Mine"}, version=1)
    assert caught.value.changed == ("priority", "title")
    assert env.stored(task.id).description == ""


def test_comments_moves_and_watching_do_not_raise_the_version(
    env: ProjectFixture, board: Board
) -> None:
    mia, task, other = env.actor("mia"), env.task(board), env.task(board)
    env.comments.add(mia, task.id, NewComment(content="Hi"))
    env.work_items.watch(mia, task.id, on=True)
    env.work_items.move(mia, task.id, Move(after=other.id))
    view = env.work_items.change(env.actor("ann"), task.id, {"title": "New"}, version=1)
    assert view.item.version == 2


def test_a_task_moves_to_another_board_of_its_project_only(
    env: ProjectFixture, project: Project, board: Board
) -> None:
    ann, task = env.actor("ann"), env.task(board)
    other = env.board(project, name="Other")
    first = env.task(other, title="First")
    view = env.work_items.change(ann, task.id, {"board": other.id})
    assert view.item.board_id == other.id
    assert env.titles(other) == [first.title, "Task"]
    elsewhere = env.board(env.project())
    with pytest.raises(Invalid, match="same project"):
        env.work_items.change(ann, task.id, {"board": elsewhere.id})


def test_a_matrix_restricts_changes_of_status(env: ProjectFixture, board: Board) -> None:
    ann, task = env.actor("ann"), env.task(board)
    env.boards.change(ann, board.id, {"transitions": {"BACKLOG": ["TODO"]}})
    with pytest.raises(TransitionRefused):
        env.work_items.change(ann, task.id, {"status": "DONE"})
    with pytest.raises(TransitionRefused):
        env.work_items.move(ann, task.id, Move(status=DONE))
    assert env.work_items.move(ann, task.id, Move(status=TODO)).item.status is TODO


def test_assignment_notifies_the_new_assignee(env: ProjectFixture, board: Board) -> None:
    ann, task = env.actor("ann"), env.task(board)
    env.work_items.assign(ann, task.id, Assignment(assignee_id=env.actor("mia").user_id))
    env.work_items.assign(ann, task.id, Assignment(assignee_id=ann.user_id))
    assert [each.kind for each in env.notices("mia")] == [NoticeKind.ASSIGNMENT]
    assert env.notices("ann") == []
    assert env.audit("task")[-1].action == "ASSIGN"
    assert env.work_items.assign(ann, task.id, Assignment(assignee_id=None)).assignee is None


def test_a_change_of_status_notifies_watchers_reporter_and_assignee(
    env: ProjectFixture, board: Board
) -> None:
    task = env.task(board, reporter="mia", assignee=env.actor("ann").user_id)
    env.work_items.watch(env.actor("max"), task.id, on=True)
    env.work_items.move(env.actor("ann"), task.id, Move(status=TODO))
    for name in ("mia", "max"):
        [notice] = env.notices(name)
        assert notice.kind is NoticeKind.STATUS
        assert (notice.data["before"], notice.data["after"]) == ("BACKLOG", "TODO")


@pytest.mark.parametrize(
    ("move", "order"),
    [
        ({"after": "a"}, "adbc"),
        ({"before": "a"}, "dabc"),
        ({"after": "a", "before": "b"}, "adbc"),
        ({"after": "c"}, "abcd"),
        ({"before": "c", "after": "c"}, "abdc"),
        ({"before": "d"}, "abcd"),
        ({"after": "d"}, "abcd"),
    ],
)
def test_a_task_moves_next_to_others(
    env: ProjectFixture, board: Board, move: dict[str, str], order: str
) -> None:
    tasks = {title: env.task(board, title=title) for title in "abcd"}
    before, after = (tasks[move[name]].id if name in move else None for name in ("before", "after"))
    request = Move(before=before, after=after)
    view = env.work_items.move(env.actor("mia"), tasks["d"].id, request)
    assert "".join(env.titles(board)) == order
    assert env.stored(tasks["d"].id).rank == view.item.rank
    assert view.item.version == 1


def test_a_deleted_task_still_marks_its_place(env: ProjectFixture, board: Board) -> None:
    ann = env.actor("ann")
    first, gone, last = (env.task(board, title=title) for title in "abc")
    env.work_items.delete(ann, gone.id)
    env.work_items.move(ann, first.id, Move(after=gone.id))
    assert env.titles(board) == ["a", "c"]
    env.work_items.move(ann, last.id, Move(before=gone.id))
    assert env.titles(board) == ["c", "a"]


def test_a_neighbour_on_another_board_is_a_field_error(
    env: ProjectFixture, project: Project, board: Board
) -> None:
    task, other = env.task(board), env.task(env.board(project))
    for neighbour in (other.id, 999):
        with pytest.raises(Invalid) as caught:
            env.work_items.move(env.actor("ann"), task.id, Move(before=neighbour))
        assert list(caught.value.field_errors) == ["before"]


def test_a_move_names_a_status_or_a_neighbour(env: ProjectFixture, board: Board) -> None:
    with pytest.raises(Invalid):
        env.work_items.move(env.actor("ann"), env.task(board).id, Move())


def test_a_move_is_in_the_history(env: ProjectFixture, board: Board) -> None:
    ann, first, second = env.actor("ann"), env.task(board), env.task(board)
    env.work_items.move(ann, first.id, Move(after=second.id))
    entry = env.audit("task")[-1]
    assert (entry.action, list(entry.changes)) == ("MOVE", ["position"])
    env.work_items.move(ann, first.id, Move(status=DONE))
    entry = env.audit("task")[-1]
    assert (entry.action, list(entry.changes)) == ("MOVE", ["status", "version"])
    moved = env.work_items.move(ann, first.id, Move(status=TODO, before=second.id)).item
    entry = env.audit("task")[-1]
    assert list(entry.changes) == ["status", "position", "version"]
    assert entry.changes["position"][1] == moved.rank == env.stored(first.id).rank


def test_a_crowded_place_makes_the_board_due_for_a_rebalance(
    env: ProjectFixture, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbell.services.projects.ranks.REBALANCE_LENGTH", 10)
    ann, tasks = env.actor("ann"), [env.task(board, title=title) for title in "abc"]
    for number in range(100):  # always into the gap after the first
        env.work_items.move(ann, tasks[1 + number % 2].id, Move(after=tasks[0].id))
    jobs = env.jobs(REBALANCE_TASK)
    assert len(jobs) == 1
    before = env.titles(board)
    assert env.ranks.rebalance(board.id) == 3
    assert env.titles(board) == before
    assert all(len(env.stored(task.id).rank) <= ranks.WIDTH for task in tasks)
    assert {env.stored(task.id).version for task in tasks} == {1}


def test_a_rank_that_would_not_fit_rebalances_the_board_at_once(
    env: ProjectFixture, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbell.services.projects.ranks.MAX_RANK_LENGTH", 10)
    ann, tasks = env.actor("ann"), [env.task(board, title=title) for title in "abc"]
    longest = 0
    for number in range(200):  # always into the gap after the first
        moved = env.work_items.move(ann, tasks[1 + number % 2].id, Move(after=tasks[0].id))
        longest = max(longest, len(moved.item.rank))
        assert env.titles(board)[:2] == ["a", moved.item.title]
    assert longest == 10
    assert {env.stored(task.id).version for task in tasks} == {1}


def test_rebalancing_a_deleted_board_does_nothing(env: ProjectFixture, board: Board) -> None:
    env.boards.delete(env.actor("ann"), board.id)
    assert env.ranks.rebalance(board.id) == 0


def test_watching_is_repeatable(env: ProjectFixture, board: Board) -> None:
    mia, task = env.actor("mia"), env.task(board)
    for _ in range(2):
        assert env.work_items.watch(mia, task.id, on=True).watchers == (mia.user_id,)
    for _ in range(2):
        assert env.work_items.watch(mia, task.id, on=False).watchers == ()
    assert [entry.action for entry in env.audit("task")] == ["CREATE", "WATCH", "UNWATCH"]


def test_members_delete_the_tasks_that_they_reported_managers_any(
    env: ProjectFixture, board: Board
) -> None:
    mia, own, other = env.actor("mia"), env.task(board, "mia"), env.task(board)
    with pytest.raises(NotAllowed):
        env.work_items.delete(mia, other.id)
    env.work_items.delete(mia, own.id)
    env.work_items.delete(env.actor("max"), other.id)
    with pytest.raises(NotFound):
        env.work_items.get(mia, own.id)
    assert env.titles(board) == []


def test_a_stale_deletion_is_refused(env: ProjectFixture, board: Board) -> None:
    ann, task = env.actor("ann"), env.task(board)
    env.work_items.change(ann, task.id, {"title": "New"})
    with pytest.raises(StaleVersion):
        env.work_items.delete(ann, task.id, version=1)


def test_a_board_is_deleted_with_its_tasks_each_in_the_history(
    env: ProjectFixture, board: Board
) -> None:
    tasks = [env.task(board), env.task(board)]
    env.boards.delete(env.actor("max"), board.id)
    deleted = [entry.object_id for entry in env.audit("task") if entry.action == "DELETE"]
    assert deleted == [str(task.id) for task in tasks]


def test_a_column_with_tasks_stays(env: ProjectFixture, board: Board) -> None:
    env.task(board)
    with pytest.raises(Invalid, match="column for BACKLOG"):
        env.boards.change(
            env.actor("ann"), board.id, {"columns": [{"name": "Open", "status": "TODO"}]}
        )


def test_limits_of_columns_warn(env: ProjectFixture, board: Board) -> None:
    ann = env.actor("ann")
    columns = [{"name": "Backlog", "status": "BACKLOG", "wip_limit": 1}]
    env.boards.change(ann, board.id, {"columns": columns})
    env.task(board)
    env.task(board)
    view = env.boards.get(ann, board.id)
    assert view.task_count == 2
    assert view.board.exceeded_limits(view.counts) == [WorkItemStatus.BACKLOG]


def test_the_number_of_boards_is_limited(
    env: ProjectFixture, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbell.services.projects.boards.MAX_BOARDS", 1)
    env.board(project)
    with pytest.raises(LimitReached, match="at most 1 boards"):
        env.board(project)


def test_deleted_tasks_are_purged_after_30_days(env: ProjectFixture, board: Board) -> None:
    retention = env.services.retention
    gone, kept = env.task(board), env.task(board)
    env.work_items.delete(env.actor("ann"), gone.id)
    assert retention.prune() == 0
    env.people.clock.wait(30 * 86_400 + 1)
    assert retention.prune() == 1
    with env.people.store.view() as tx:
        assert tx.work_items.find_on_board(board.id, gone.id) is None
        assert tx.work_items.find_on_board(board.id, kept.id) is not None


def test_boards_follow_one_another_and_keep_their_project(
    env: ProjectFixture, project: Project, board: Board
) -> None:
    ann, second = env.actor("ann"), env.board(project, name="Second")
    assert second.position == board.position + 1
    found, total = env.boards.list(ann, project.id)
    assert ([view.board.name for view in found], total) == (["Board", "Second"], 2)
    view = env.boards.change(ann, board.id, {"project": project.id, "name": "First"}, version=1)
    assert (view.board.name, view.board.version) == ("First", 2)
    with pytest.raises(Invalid, match="cannot be changed"):
        env.boards.change(ann, board.id, {"project": 999})
    with pytest.raises(StaleVersion):
        env.boards.change(ann, board.id, {"name": "X"}, version=1)
    assert env.boards.change(ann, board.id, {"name": "First"}).board.version == 2


def test_members_do_not_manage_boards(env: ProjectFixture, project: Project, board: Board) -> None:
    with pytest.raises(Invalid, match="project: is not a project that you may use"):
        env.board(project, "mia")
    with pytest.raises(NotAllowed):
        env.boards.delete(env.actor("mia"), board.id)
    with pytest.raises(NotFound):
        env.boards.get(env.actor("eve"), board.id)
    with pytest.raises(Invalid):
        env.board(project, "eve")


def test_filters_in_the_search_text_are_those_of_the_list(
    env: ProjectFixture, board: Board
) -> None:
    env.task(board, title="Fix login", status=TODO, labels=["web"])
    env.task(board, title="Fix logout", status=DONE, priority=WorkItemPriority.HIGH)
    env.task(board, title="Write docs", assignee=env.actor("mia").user_id)

    def titles(search: str) -> list[str]:
        return [view.item.title for view in env.find(search=search)]

    assert titles("fix") == ["Fix login", "Fix logout"]
    assert titles("fix status:DONE") == ["Fix logout"]
    assert titles("status:TODO,DONE") == ["Fix login", "Fix logout"]
    assert titles(f"assignee:{env.actor('mia').user_id}") == ["Write docs"]
    assert titles("label:web") == ["Fix login"]
    assert titles("sla_breached:false docs") == ["Write docs"]
    for search, name in (
        ("status:LOST", "status.0"),
        ("assignee:me", "assignee"),
        ("sla_breached:maybe", "sla_breached"),
    ):
        with pytest.raises(Invalid) as caught:
            titles(search)
        assert list(caught.value.field_errors) == [name]
    with pytest.raises(Invalid, match="as a parameter and in the search text"):
        env.find(search="status:TODO", status=[DONE])


def test_a_search_highlights_what_it_found(env: ProjectFixture, board: Board) -> None:
    task = env.task(board, title="Fix <b>login</b>", description="The login page")
    env.comments.add(env.actor("ann"), task.id, NewComment(content="see login"))
    env.comments.add(env.actor("ann"), task.id, NewComment(content="unrelated"))
    [found], _ = env.work_items.list(
        env.actor("mia"), WorkItemConditions(search="login"), ("relevance",), 0, 20
    )
    assert found.highlights is not None
    assert found.highlights.title == "Fix &lt;b&gt;<mark>login</mark>&lt;/b&gt;"
    assert found.highlights.description == "The <mark>login</mark> page"
    assert found.highlights.comments == ["see <mark>login</mark>"]


def test_an_export_holds_what_the_actor_may_see(
    env: ProjectFixture, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbell.services.projects.work_items.EXPORT_PAGE", 2)
    tasks = [env.task(board) for _ in range(5)]
    exported = env.work_items.export(env.actor("mia"), WorkItemConditions())
    assert [view.item.id for view in exported] == [task.id for task in tasks]
    with pytest.raises(Invalid):  # before the first task is read
        env.work_items.export(env.actor("mia"), WorkItemConditions(search="status:LOST"))
    assert list(env.work_items.export(env.actor("eve"), WorkItemConditions(board=board.id))) == []


def test_activity_is_listed_newest_first_with_its_users(
    env: ProjectFixture, project: Project, board: Board
) -> None:
    mia, task = env.actor("mia"), env.task(board)
    env.work_items.change(mia, task.id, {"title": "New"})
    entries, total = env.activity.list_of_task(mia, task.id)
    assert total == 2
    assert [(each.entry.action, each.user and each.user.username) for each in entries] == [
        ("UPDATE", "mia"),
        ("CREATE", "ann"),
    ]
    of_project, _ = env.activity.list_of_project(mia, project.id)
    assert len(of_project) == 6
    older, _ = env.activity.list_of_project(
        mia, project.id, before_id=of_project[0].entry.id, limit=100
    )
    assert older == of_project[1:]
    with pytest.raises(NotFound):
        env.activity.list_of_project(env.actor("eve"), project.id)


def test_a_version_conflict_and_an_unknown_id_are_different_errors(
    env: ProjectFixture, board: Board
) -> None:
    task = env.task(board)
    assert env.work_items.version(env.actor("ann"), task.id) == 1
    with pytest.raises(NotFound):
        env.work_items.version(env.actor("eve"), task.id)
    with pytest.raises(Conflict):
        env.work_items.change(env.actor("ann"), task.id, {"title": "x"}, version=9)
