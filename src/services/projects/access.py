"""Access to projects and their contents: visibility, then permission."""

from collections.abc import Collection

from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import Actor, Scope
from workbell.domain.identity.permissions import (
    Action,
    Relation,
    check,
    check_key,
    get_scope,
    may,
)
from workbell.domain.identity.user import UserId
from workbell.domain.projects.board import Board, BoardId
from workbell.domain.projects.comment import Comment, CommentId
from workbell.domain.projects.project import Project, ProjectId
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.ports.projects.repository import ProjectsTx

READING = frozenset({Action.READ_PROJECT})
"""The actions that an archived project allows."""


def get_reading_scope(actor: Actor) -> Scope:
    """Return the projects that the actor may see: all, or those of which they are a member."""
    return get_scope(actor, Action.READ_PROJECT)


def get_relations_to(tx: ProjectsTx, actor: Actor, project_id: ProjectId) -> Collection[Relation]:
    """Return the actor's relation to a project as its member, if any."""
    member = tx.project_members.find(project_id, actor.user_id)
    return () if member is None else (member.role.relation,)


def check_relation(
    tx: ProjectsTx, actor: Actor, project_id: ProjectId, *actions: Action, lock: bool = False
) -> Project:
    """
    Return a project, also an archived one, for which the actor has one of the permissions.

    Raises:
        NotFound: There is no such project, or the actor may not see it.
        NotAllowed: The actor may see it, but perform none of the actions, or the
            API key lacks the scope.
    """
    check_key(actor, actions[-1])
    read = tx.projects.get_for_update if lock else tx.projects.get
    project = read(get_reading_scope(actor), project_id)
    relations = get_relations_to(tx, actor, project_id)
    if not any(may(actor, action, also=relations) for action in actions):
        raise NotAllowed
    return project


def get_project(
    tx: ProjectsTx, actor: Actor, project_id: ProjectId, action: Action, *, lock: bool = False
) -> Project:
    """
    Return a project on which the actor may perform an action.

    With `lock` its row is locked, to change it or its members; otherwise a write
    shares a lock, which an archiving waits for.

    Raises:
        NotFound: There is no such project, or the actor may not see it.
        NotAllowed: The actor may see it, but not perform the action, or the
            API key lacks the scope.
        ProjectArchived: The action writes, and the project is archived.
    """
    check_key(actor, action)
    scope = get_reading_scope(actor)
    if lock:
        project = tx.projects.get_for_update(scope, project_id)
    elif action in READING:
        project = tx.projects.get(scope, project_id)
    else:
        project = tx.projects.get_for_write(scope, project_id)
    check_allowed(tx, actor, project, action)
    return project


def check_allowed(
    tx: ProjectsTx, actor: Actor, project: Project, action: Action, owner: UserId | None = None
) -> None:
    """
    Check that the actor may perform an action in a project that they may see.

    `owner` is the reporter of the task or the author of the comment in question.

    Raises:
        NotAllowed: They may not.
        ProjectArchived: The action writes, and the project is archived.
    """
    check(actor, action, owner=owner, also=get_relations_to(tx, actor, project.id))
    if action not in READING:
        project.check_writable()


def get_board(
    tx: ProjectsTx, actor: Actor, board_id: BoardId, action: Action, *, lock: bool = False
) -> Board:
    """
    Return a board on which the actor may perform an action; errors as `get_project`.

    With `lock` the project's row is locked, too: writers of tasks share it, so
    they do not add a task to a board, or to a column, that is being removed.
    """
    check_key(actor, action)
    scope = get_reading_scope(actor)
    board = tx.boards.get(scope, board_id)
    get_project(tx, actor, board.project_id, action, lock=lock)
    if lock:
        return tx.boards.get_for_update(scope, board_id)
    return board if action in READING else tx.boards.get(scope, board_id)


def get_work_item(
    tx: ProjectsTx, actor: Actor, item_id: WorkItemId, action: Action, *, lock: bool = False
) -> WorkItem:
    """
    Return a task on which the actor may perform an action; errors as `get_project`.

    The reporter of the task counts as its owner.
    """
    check_key(actor, action)
    scope = get_reading_scope(actor)
    item = tx.work_items.get(scope, item_id)
    project = _get_project_of(tx, scope, item.project_id, action)
    if lock:  # after the project, in the order of all writers
        item = tx.work_items.get_for_update(scope, item_id)
    check_allowed(tx, actor, project, action, item.reporter_id)
    return item


def get_comment(tx: ProjectsTx, actor: Actor, comment_id: CommentId, action: Action) -> Comment:
    """
    Return a comment, locked, on which the actor may perform an action.

    The author of the comment counts as its owner. Errors as `get_project`.
    """
    check_key(actor, action)
    scope = get_reading_scope(actor)
    comment = tx.comments.get(scope, comment_id)
    project = _get_project_of(tx, scope, comment.project_id, action)
    comment = tx.comments.get_for_update(scope, comment_id)
    check_allowed(tx, actor, project, action, comment.author_id)
    return comment


def _get_project_of(tx: ProjectsTx, scope: Scope, project_id: ProjectId, action: Action) -> Project:
    read = tx.projects.get if action in READING else tx.projects.get_for_write
    return read(scope, project_id)


def check_item_relation(tx: ProjectsTx, actor: Actor, item_id: WorkItemId, action: Action) -> None:
    """Raise NotFound or NotAllowed unless the actor has the permission for a task."""
    item = tx.work_items.get(get_reading_scope(actor), item_id)
    relations = get_relations_to(tx, actor, item.project_id)
    check(actor, action, owner=item.reporter_id, also=relations)
