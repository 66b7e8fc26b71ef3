"""Watchers of work items in SQL."""

from collections.abc import Sequence

from attrs import frozen
from sqlalchemy import BigInteger, Connection, bindparam, delete, select

from workbell.adapters.sql.database.statements import insert_if_absent, prepare
from workbell.adapters.sql.schema.projects import watchers
from workbell.domain.identity.user import UserId
from workbell.domain.projects.work_item import WorkItem, WorkItemId

_of_item = watchers.c.work_item_id == bindparam("work_item_id", type_=BigInteger)
_of_user = watchers.c.user_id == bindparam("user_id", type_=BigInteger)
_FIND = prepare(select(watchers.c.user_id).where(_of_item, _of_user), "work_item_id", "user_id")
_REMOVE = prepare(delete(watchers).where(_of_item, _of_user), "work_item_id", "user_id")
_USERS = prepare(
    select(watchers.c.user_id).where(_of_item).order_by(watchers.c.user_id), "work_item_id"
)


@frozen
class SqlWatcherRepository:
    """Users who watch work items."""

    _db: Connection

    def add(self, item: WorkItem, user_id: UserId) -> bool:
        """Let a user watch an item; False if they do already."""
        if _FIND.fetch_all(self._db, (item.id, user_id)):
            return False
        values = {"work_item_id": item.id, "user_id": user_id, "project_id": item.project_id}
        self._db.execute(insert_if_absent(watchers, self._db.dialect.name), values)
        return True

    def remove(self, item_id: WorkItemId, user_id: UserId) -> bool:
        """Let a user no longer watch an item; False if they did not."""
        return _REMOVE.execute(self._db, (item_id, user_id)).rowcount == 1

    def list_of(self, item_id: WorkItemId) -> Sequence[UserId]:
        """Return the users who watch an item, by id."""
        return [UserId(user_id) for (user_id,) in _USERS.fetch_all(self._db, (item_id,))]
