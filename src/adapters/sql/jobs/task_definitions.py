"""Task definitions, and facts about the store itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Connection, bindparam, select, update

from workbell.adapters.sql.database.statements import AnyRow, insert_if_absent, row_to_dict, upsert
from workbell.adapters.sql.schema.tables import store_metadata, task_definitions
from workbell.domain.errors import NotFound
from workbell.domain.jobs.task import TaskDefinition, TaskId

tasks_c = task_definitions.c
_ALL = select(task_definitions).order_by(tasks_c.id)
_BY_ID = select(task_definitions).where(tasks_c.id == bindparam("task_id"))
_BY_KEY = select(task_definitions).where(tasks_c.key == bindparam("task"))
_FACT = select(store_metadata.c.value).where(store_metadata.c.name == bindparam("fact"))


@frozen
class SqlTaskDefinitionRepository:
    """The tasks that the store knows, by id and by key."""

    _db: Connection

    def add(self, definition: TaskDefinition) -> TaskDefinition:
        """Keep a new definition, and return it with its id; a known key returns the kept one."""
        if self._find(definition.key) is None:
            insert = insert_if_absent(task_definitions, self._db.dialect.name)
            self._db.execute(insert.values(_values(definition)))
        return self.by_key(definition.key)

    def get(self, task_id: TaskId) -> TaskDefinition:
        """Return one definition."""
        row = self._db.execute(_BY_ID, {"task_id": task_id}).one_or_none()
        if row is None:
            raise NotFound(f"There is no task {task_id}.")
        return _definition(row)

    def by_key(self, key: str) -> TaskDefinition:
        """Return one definition."""
        if (found := self._find(key)) is None:
            raise NotFound(f"There is no task {key!r}.")
        return found

    def all(self) -> Sequence[TaskDefinition]:
        """Return every definition, by id."""
        return [_definition(row) for row in self._db.execute(_ALL)]

    def replace(self, definition: TaskDefinition) -> None:
        """Keep a definition as it now stands."""
        change = update(task_definitions).where(tasks_c.id == definition.id)
        if self._db.execute(change.values(_values(definition))).rowcount == 0:
            raise NotFound(f"There is no task {definition.id}.")

    def _find(self, key: str) -> TaskDefinition | None:
        row = self._db.execute(_BY_KEY, {"task": key}).one_or_none()
        return None if row is None else _definition(row)


def _values(definition: TaskDefinition) -> dict[str, Any]:
    return {
        "key": definition.key,
        "name": definition.name,
        "description": definition.description,
        "schema": definition.schema,
        "schema_version": definition.schema_version,
        "is_active": definition.is_active,
        "created_at": definition.created_at,
    }


def _definition(row: AnyRow) -> TaskDefinition:
    values: Mapping[str, Any] = row_to_dict(row)
    return evolve(TaskDefinition(**values), id=TaskId(row.id))


@frozen
class SqlStoreMetadata:
    """Small facts about the store itself, by name."""

    _db: Connection

    def get(self, name: str) -> str | None:
        """Return a fact, if it is known."""
        return self._db.execute(_FACT, {"fact": name}).scalar()

    def set(self, name: str, value: str) -> None:
        """Keep a fact."""
        upsert(self._db, store_metadata, {"name": name, "value": value})
