"""Task definitions and store metadata in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, frozen
from sqlalchemy import Connection, bindparam, select, update

from workbell.adapters.sql.database.statements import AnyRow, insert_if_absent, row_to_dict, upsert
from workbell.adapters.sql.schema.tables import store_metadata, task_definitions
from workbell.domain.errors import NotFound
from workbell.domain.jobs.task import TaskDefinition, TaskId

tasks_c = task_definitions.c
_ALL = select(task_definitions).order_by(tasks_c.id)
_BY_ID = select(task_definitions).where(tasks_c.id == bindparam("task_id"))
_BY_KEY = select(task_definitions).where(tasks_c.key == bindparam("task"))
_INACTIVE = select(tasks_c.key).where(tasks_c.is_active.is_(False)).order_by(tasks_c.key)
_PARKED = select(tasks_c.key, tasks_c.parked_at).where(tasks_c.parked_at.is_not(None))
_set_parked = (
    update(task_definitions)
    .where(tasks_c.key == bindparam("task"))
    .values(parked_at=bindparam("new_parked_at"))
)
_PARK = _set_parked.where(tasks_c.parked_at.is_(None))
_RELEASE = _set_parked.where(tasks_c.parked_at.is_not(None))
_VALUE = select(store_metadata.c.value).where(store_metadata.c.name == bindparam("key"))


@frozen
class SqlTaskDefinitionRepository:
    """Task definitions, by id and by key."""

    _db: Connection

    def add(self, definition: TaskDefinition) -> TaskDefinition:
        """Insert a definition and return it with its id; return the stored one if its key exists."""
        if self._find(definition.key) is None:
            insert = insert_if_absent(task_definitions, self._db.dialect.name)
            self._db.execute(insert.values(_values(definition)))
        return self.by_key(definition.key)

    def get(self, task_id: TaskId) -> TaskDefinition:
        """Return a definition."""
        row = self._db.execute(_BY_ID, {"task_id": task_id}).one_or_none()
        if row is None:
            raise NotFound(f"There is no task {task_id}.")
        return _definition(row)

    def by_key(self, key: str) -> TaskDefinition:
        """Return a definition."""
        if (found := self._find(key)) is None:
            raise NotFound(f"There is no task {key!r}.")
        return found

    def all(self) -> Sequence[TaskDefinition]:
        """Return all definitions, by id."""
        return [_definition(row) for row in self._db.execute(_ALL)]

    def replace(self, definition: TaskDefinition) -> None:
        """Update a definition."""
        change = update(task_definitions).where(tasks_c.id == definition.id)
        if self._db.execute(change.values(_values(definition))).rowcount == 0:
            raise NotFound(f"There is no task {definition.id}.")

    def inactive(self) -> Sequence[str]:
        """Return the keys of inactive tasks."""
        return list(self._db.execute(_INACTIVE).scalars())

    def parked(self) -> Mapping[str, datetime]:
        """Return the keys of parked tasks, each with the time since when."""
        return {row.key: row.parked_at for row in self._db.execute(_PARKED)}

    def set_parked(self, key: str, at: datetime | None) -> bool:
        """Park a task, or release it with None; return whether it was in the other state."""
        change = _RELEASE if at is None else _PARK
        return self._db.execute(change, {"task": key, "new_parked_at": at}).rowcount == 1

    def _find(self, key: str) -> TaskDefinition | None:
        row = self._db.execute(_BY_KEY, {"task": key}).one_or_none()
        return None if row is None else _definition(row)


def _values(definition: TaskDefinition) -> dict[str, Any]:
    values = asdict(definition, recurse=False)
    del values["id"]
    return values


def _definition(row: AnyRow) -> TaskDefinition:
    return TaskDefinition(**row_to_dict(row))


@frozen
class SqlStoreMetadata:
    """Named values about the store itself."""

    _db: Connection

    def get(self, name: str) -> str | None:
        """Return a value, or None."""
        return self._db.execute(_VALUE, {"key": name}).scalar()

    def set(self, name: str, value: str) -> None:
        """Insert or update a value."""
        upsert(self._db, store_metadata, {"name": name, "value": value})
