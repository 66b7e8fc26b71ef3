"""Boards: scope, columns, numbers of tasks and lists."""

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore, after
from tests.contract.projects.rows import NO_ONE, Team, a_board, a_member, add_item
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.projects.board import Board, BoardColumn, BoardId
from workbell.domain.projects.work_item import WorkItemStatus

TODO, DONE = WorkItemStatus.TODO, WorkItemStatus.DONE


def change(store: AnyStore, board: Board) -> None:
    with store.begin() as tx:
        tx.boards.get_for_update(ALL_OWNERS, board.id)
        tx.boards.replace(board)


def test_a_board_is_returned_as_it_was_inserted(store: AnyStore, ann: Team) -> None:
    wanted = a_board(
        ann.project,
        "Entwicklung 🛠",
        description="x" * 70_000,
        position=7,
        columns=(
            BoardColumn(name="To do", status=TODO, wip_limit=3),
            BoardColumn(name="Done", status=DONE),
        ),
        transitions={TODO: (DONE,), DONE: ()},
    )
    with store.begin() as tx:
        stored = tx.boards.add(wanted)
    assert stored == evolve(wanted, id=stored.id)
    with store.view() as tx:
        assert tx.boards.get(ann.scope, stored.id) == stored
        assert tx.boards.get(ann.scope, ann.board.id) == ann.board


def test_only_members_and_everyone_get_a_board(store: AnyStore, ann: Team, ben: Team) -> None:
    with store.begin() as tx:
        tx.project_members.add(a_member(ben.project, ann.user))
        for get in (tx.boards.get, tx.boards.get_for_update):
            for board in (ann.board, ben.board):
                assert get(ann.scope, board.id) == board
                assert get(ALL_OWNERS, board.id) == board
            for scope, board_id in (
                (ben.scope, ann.board.id),
                (NO_ONE, ann.board.id),
                (ALL_OWNERS, BoardId(99)),
            ):
                with pytest.raises(NotFound, match=f"There is no board {board_id}"):
                    get(scope, board_id)
        with pytest.raises(NotFound):
            tx.boards.view(ben.scope, ann.board.id)
        ids = [ben.board.id, ann.board.id, BoardId(99)]
        assert tx.boards.find_many(ann.scope, ids) == [ann.board, ben.board]
        assert tx.boards.find_many(ben.scope, ids) == [ben.board]
        assert tx.boards.find_many(ALL_OWNERS, []) == []


def test_a_changed_board_is_stored_and_a_deleted_one_is_gone(store: AnyStore, ann: Team) -> None:
    changed = evolve(ann.board, name="Other", transitions={TODO: ()}).touched(after(1))
    change(store, changed)
    with store.view() as tx:
        assert tx.boards.get(ann.scope, changed.id) == changed
    change(store, evolve(changed, deleted_at=after(2)))
    with store.view() as tx:
        for scope in (ann.scope, ALL_OWNERS):
            with pytest.raises(NotFound):
                tx.boards.get(scope, changed.id)
            assert tx.boards.find_many(scope, [changed.id]) == []
        assert tx.boards.list_page(ann.scope) == ([], 0)
        assert tx.boards.last_position(ann.project.id) == 0
    with pytest.raises(NotFound), store.begin() as tx:
        tx.boards.replace(a_board(ann.project))


def test_a_view_counts_tasks_by_status(store: AnyStore, ann: Team, ben: Team) -> None:
    for rank, status in enumerate((TODO, TODO, DONE)):
        add_item(store, ann, str(rank + 1), status=status)
    add_item(store, ann, "9", deleted_at=NOON)
    add_item(store, ben, "1", status=DONE)
    with store.view() as tx:
        view = tx.boards.view(ann.scope, ann.board.id)
        assert (view.board, view.counts, view.task_count) == (ann.board, {TODO: 2, DONE: 1}, 3)
        views, _ = tx.boards.list_page(ALL_OWNERS)
        assert [each.counts for each in views] == [{TODO: 2, DONE: 1}, {DONE: 1}]


def test_boards_are_listed_by_project_position_and_id(
    store: AnyStore, ann: Team, ben: Team
) -> None:
    with store.begin() as tx:
        third, first, same = (
            tx.boards.add(a_board(ann.project, position=position)) for position in (3, 0, 1)
        )
        assert tx.boards.last_position(ann.project.id) == 3
    wanted = [first, ann.board, same, third]

    def found(*args: object, **page: int) -> list[Board]:
        with store.view() as tx:
            views, total = tx.boards.list_page(*args, **page)  # type: ignore[arg-type]
        assert total == (5 if args[0] is ALL_OWNERS and "project_id" not in page else 4)
        return [view.board for view in views]

    assert found(ALL_OWNERS) == [*wanted, ben.board]
    assert found(ann.scope) == wanted
    assert found(ann.scope, project_id=ann.project.id) == wanted
    assert found(ann.scope, offset=1, limit=2) == wanted[1:3]
    with store.view() as tx:
        assert tx.boards.list_page(ann.scope, project_id=ben.project.id) == ([], 0)
