"""Comments on tasks, in threads."""

from datetime import datetime
from typing import Annotated, Final, NewType, Self

from attrs import evolve, frozen

from workbell.domain.constraints import NOT_BLANK, Constraints
from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.work_item import WorkItemId

CommentId = NewType("CommentId", int)
Content = Annotated[
    str,
    Constraints(min_length=1, max_length=10_000, pattern=NOT_BLANK, hint="must not be blank"),
]
MAX_DEPTH: Final = 10
"""How deep comments nest; a comment on a task itself has depth 1."""


@frozen(kw_only=True)
class Comment:
    """
    A comment on a work item, or a reply to another comment on it.

    A deleted comment keeps its replies and its place, but not its content.
    """

    id: CommentId = CommentId(0)
    project_id: ProjectId
    work_item_id: WorkItemId
    author_id: UserId
    content: str
    parent_id: CommentId | None = None
    depth: int = 1
    created_at: datetime
    edited_at: datetime | None = None
    deleted_at: datetime | None = None

    def edit(self, content: str, now: datetime) -> Self:
        """Return the comment with another content."""
        return evolve(self, content=content, edited_at=now)

    def delete(self, now: datetime) -> Self:
        """Return the comment as deleted, without its content."""
        return evolve(self, content="", deleted_at=now)


def depth_below(parent: Comment | None) -> int:
    """
    Return the depth of a reply to a comment, or of a comment on the item (None).

    Raises:
        Invalid: The reply would be deeper than `MAX_DEPTH`.
    """
    depth = 1 if parent is None else parent.depth + 1
    if depth > MAX_DEPTH:
        raise Invalid.field("parent", f"must not nest deeper than {MAX_DEPTH} comments")
    return depth
