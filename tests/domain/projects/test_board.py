"""Boards: columns, limits and transitions."""

from datetime import UTC, datetime
from typing import Any

import pytest

from workbell.domain.errors import Conflict, Invalid
from workbell.domain.projects.board import (
    DEFAULT_COLUMNS,
    MAX_DELETED,
    Board,
    BoardColumn,
    TransitionRefused,
    check_board,
    check_columns_hold,
    check_deletable,
)
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.work_item import WorkItemStatus

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TODO, DONE, REVIEW = WorkItemStatus.TODO, WorkItemStatus.DONE, WorkItemStatus.REVIEW


def make_board(**fields: Any) -> Board:
    fields = {"project_id": ProjectId(1), "name": "Board", "position": 1, **fields}
    return Board(**fields, created_at=NOW, updated_at=NOW)


def test_a_default_board_has_a_column_for_each_status_in_order() -> None:
    assert [column.status for column in DEFAULT_COLUMNS] == list(WorkItemStatus)
    assert DEFAULT_COLUMNS[2].name == "In progress"


def test_new_tasks_go_to_the_backlog_or_the_first_column() -> None:
    columns = [BoardColumn(name="Doing", status=REVIEW), BoardColumn(name="Done", status=DONE)]
    assert make_board().first_status is WorkItemStatus.BACKLOG
    assert make_board(columns=columns).first_status is REVIEW


def test_a_status_without_a_column_is_refused_by_name() -> None:
    board = make_board(columns=[BoardColumn(name="Open", status=TODO)])
    board.check_status(TODO)
    with pytest.raises(Invalid, match="its columns: TODO"):
        board.check_status(DONE)


def test_without_a_matrix_every_transition_is_allowed() -> None:
    make_board().check_transition(DONE, TODO)


def test_a_matrix_allows_only_what_it_lists() -> None:
    board = make_board(transitions={TODO: [REVIEW]})
    board.check_transition(TODO, REVIEW)
    board.check_transition(TODO, TODO)
    with pytest.raises(TransitionRefused, match="TODO -> DONE; allowed: REVIEW"):
        board.check_transition(TODO, DONE)
    with pytest.raises(TransitionRefused, match="allowed: none"):
        board.check_transition(REVIEW, DONE)


def test_limits_are_exceeded_by_more_tasks_than_they_allow() -> None:
    columns = [BoardColumn(name="Open", status=TODO, wip_limit=2)]
    board = make_board(columns=columns)
    assert board.exceeded_limits({TODO: 2, DONE: 9}) == []
    assert board.exceeded_limits({TODO: 3}) == [TODO]


def test_a_status_has_at_most_one_column() -> None:
    columns = [BoardColumn(name="A", status=TODO), BoardColumn(name="B", status=TODO)]
    with pytest.raises(Invalid, match="at most one column for TODO"):
        check_board(columns, None)


def test_a_transition_is_listed_once() -> None:
    with pytest.raises(Invalid, match="must not name a status twice"):
        check_board(DEFAULT_COLUMNS, {TODO: [DONE, DONE]})


def test_columns_in_which_there_are_tasks_cannot_be_removed() -> None:
    columns = [BoardColumn(name="Open", status=TODO)]
    check_columns_hold(columns, {TODO: 3, DONE: 0})
    with pytest.raises(Invalid, match="column for DONE, in which there are 2 tasks"):
        check_columns_hold(columns, {DONE: 2})


def test_a_board_with_many_tasks_is_not_deleted() -> None:
    check_deletable(make_board(), MAX_DELETED)
    with pytest.raises(Conflict, match="more than 1,000 tasks"):
        check_deletable(make_board(), MAX_DELETED + 1)


def test_a_change_raises_the_version() -> None:
    assert make_board().touched(NOW).version == 2
