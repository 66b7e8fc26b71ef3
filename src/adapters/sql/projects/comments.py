"""Comments on work items in SQL."""

from collections.abc import Collection, Mapping, Sequence

from attrs import evolve, frozen
from sqlalchemy import BigInteger, Connection, Integer, bindparam, insert, select, update

from workbell.adapters.sql.database.filters import count_rows
from workbell.adapters.sql.database.statements import (
    PreparedStatement,
    inserted_id,
    prepare,
    row_to_dict,
)
from workbell.adapters.sql.projects.rows import (
    comment_from_row,
    comment_values,
    find_contents,
    find_users,
)
from workbell.adapters.sql.projects.scopes import MEMBER, is_visible_board, member_of
from workbell.adapters.sql.schema.projects import comments, work_items
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.projects.comment import Comment, CommentId
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.projects.repository import CommentView

comments_c = comments.c
_of_item = comments_c.work_item_id == bindparam("item_id", type_=BigInteger)
_by_id = comments_c.id == bindparam("comment_id", type_=BigInteger)
_is_root = comments_c.root_id.is_(None)
_EXISTS = comments_c.deleted_at.is_(None)
_on_visible_item = (
    select(work_items.c.id)
    .where(
        work_items.c.id == comments_c.work_item_id,
        work_items.c.deleted_at.is_(None),
        is_visible_board(work_items.c.board_id),
    )
    .exists()
)
_ONE = select(comments).where(_by_id, _EXISTS, _on_visible_item)
_COMMENT = prepare(_ONE, "comment_id", MEMBER)
_COMMENT_LOCKED = prepare(_ONE.with_for_update(), "comment_id", MEMBER)
_ON_ITEM = prepare(select(comments).where(_of_item, _by_id), "item_id", "comment_id")
_ROOT = prepare(select(comments_c.id, comments_c.root_id).where(_by_id), "comment_id")
_ROOTS = prepare(
    select(comments)
    .where(_of_item, _is_root)
    .order_by(comments_c.id)
    .offset(bindparam("offset", type_=BigInteger))
    .limit(bindparam("limit", type_=Integer)),
    *("item_id", "offset", "limit"),
)
_roots = bindparam("roots", expanding=True, type_=BigInteger)
_REPLIES = select(comments).where(_of_item, comments_c.root_id.in_(_roots)).order_by(comments_c.id)


@frozen
class SqlCommentRepository:
    """Comments, including deleted ones."""

    _db: Connection

    def add(self, comment: Comment) -> Comment:
        """Insert a comment and return it with its id."""
        root_id = None
        if comment.parent_id is not None:
            rows = _ROOT.fetch_all(self._db, (comment.parent_id,))
            root_id = next((root or parent for parent, root in rows), comment.parent_id)
        values = comment_values(comment) | {"root_id": root_id}
        result = self._db.execute(insert(comments), values)
        return evolve(comment, id=CommentId(inserted_id(result)))

    def get(self, scope: Scope, comment_id: CommentId) -> Comment:
        """Return a comment in the scope that is not deleted."""
        return self._one(_COMMENT, scope, comment_id)

    def get_for_update(self, scope: Scope, comment_id: CommentId) -> Comment:
        """Lock and return a comment in the scope that is not deleted."""
        return self._one(_COMMENT_LOCKED, scope, comment_id)

    def find_on_item(self, item_id: WorkItemId, comment_id: CommentId) -> Comment | None:
        """Return a comment on an item, also a deleted one, or None."""
        rows = _ON_ITEM.fetch_all(self._db, (item_id, comment_id))
        return comment_from_row(self._db, rows[0]) if rows else None

    def replace(self, comment: Comment) -> None:
        """Update content, edit and deletion time of a comment."""
        names = ("content", "edited_at", "deleted_at")
        change = update(comments).where(comments_c.id == comment.id)
        values = {name: getattr(comment, name) for name in names}
        if self._db.execute(change, values).rowcount == 0:
            raise NotFound(f"There is no comment {comment.id}.")

    def list_page(
        self, item_id: WorkItemId, *, offset: int = 0, limit: int = 100
    ) -> tuple[Sequence[CommentView], int]:
        """Return threads of an item and their number up to the cap."""
        rows = _ROOTS.fetch_all(self._db, (item_id, offset, limit))
        roots = [comment_from_row(self._db, row) for row in rows]
        threads: dict[int, list[Comment]] = {root.id: [root] for root in roots}
        values = {"item_id": item_id, "roots": list(threads)}
        for row in self._db.execute(_REPLIES, values) if threads else ():
            reply = row_to_dict(row)
            threads[reply.pop("root_id")].append(Comment(**reply))
        found = [each for root in roots for each in threads[root.id]]
        authors = find_users(self._db, [each.author_id for each in found])
        views = [CommentView(comment=each, author=authors[each.author_id]) for each in found]
        total = count_rows(comments, comments_c.work_item_id == item_id, _is_root)
        return views, self._db.execute(total).scalar_one()

    def contents(self, item_ids: Collection[WorkItemId]) -> Mapping[WorkItemId, Sequence[str]]:
        """Return the contents of the comments on items, by id, without deleted ones."""
        return find_contents(self._db, item_ids)

    def _one(self, query: PreparedStatement, scope: Scope, comment_id: CommentId) -> Comment:
        rows = query.fetch_all(self._db, (comment_id, member_of(scope)))
        if not rows:
            raise NotFound(f"There is no comment {comment_id}.")
        return comment_from_row(self._db, rows[0])
