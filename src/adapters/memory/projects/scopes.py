"""Rows of projects that are in a scope, with nothing around them deleted."""

from workbell.adapters.memory.tables import Tables
from workbell.domain.identity.actor import Scope
from workbell.domain.projects.board import BoardId
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.work_item import WorkItem


def is_visible_project(tables: Tables, scope: Scope, project_id: int) -> bool:
    """Whether a project is in a scope and not deleted."""
    project = tables.projects.get(ProjectId(project_id))
    if project is None or project.deleted_at is not None:
        return False
    return scope.owner is None or (project.id, scope.owner) in tables.project_members.rows


def is_visible_board(tables: Tables, scope: Scope, board_id: int) -> bool:
    """Whether a board is in a scope and not deleted, nor its project."""
    board = tables.boards.get(BoardId(board_id))
    if board is None or board.deleted_at is not None:
        return False
    return is_visible_project(tables, scope, board.project_id)


def is_visible_item(tables: Tables, scope: Scope, item: WorkItem) -> bool:
    """Whether an item is in a scope and not deleted, nor its board and project."""
    return item.deleted_at is None and is_visible_board(tables, scope, item.board_id)
