"""Task definitions in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import isolated_copy
from workbell.domain.errors import NotFound
from workbell.domain.jobs.task import TaskDefinition, TaskId


@define(eq=False)
class MemoryTaskDefinitionRepository:
    """Task definitions, by id and by key."""

    _tables: Tables

    def add(self, definition: TaskDefinition) -> TaskDefinition:
        """Insert a definition; return the stored one if its key exists."""
        if (known := self._find(definition.key)) is not None:
            return known
        stored = evolve(
            definition,
            id=TaskId(self._tables.definitions.next_id()),
            schema=isolated_copy(dict(definition.schema)),
        )
        self._tables.definitions.put(stored.id, stored)
        return stored

    def get(self, task_id: TaskId) -> TaskDefinition:
        """Return a definition."""
        if (found := self._tables.definitions.get(task_id)) is None:
            raise NotFound(f"There is no task {task_id}.")
        return found

    def by_key(self, key: str) -> TaskDefinition:
        """Return a definition."""
        if (found := self._find(key)) is None:
            raise NotFound(f"There is no task {key!r}.")
        return found

    def all(self) -> Sequence[TaskDefinition]:
        """Return all definitions, by id."""
        return sorted(self._tables.definitions, key=lambda definition: definition.id)

    def replace(self, definition: TaskDefinition) -> None:
        """Update a definition."""
        self.get(definition.id)
        stored = evolve(definition, schema=isolated_copy(dict(definition.schema)))
        self._tables.definitions.put(definition.id, stored)

    def inactive(self) -> Sequence[str]:
        """Return the keys of inactive tasks."""
        return sorted(each.key for each in self._tables.definitions if not each.is_active)

    def parked(self) -> Mapping[str, datetime]:
        """Return the keys of parked tasks, each with the time since when."""
        return {each.key: each.parked_at for each in self._tables.definitions if each.parked_at}

    def set_parked(self, key: str, at: datetime | None) -> bool:
        """Park a task, or release it with None; return whether it was in the other state."""
        found = self._find(key)
        if found is None or (found.parked_at is None) is (at is None):
            return False
        self._tables.definitions.put(found.id, evolve(found, parked_at=at))
        return True

    def _find(self, key: str) -> TaskDefinition | None:
        return next((known for known in self._tables.definitions if known.key == key), None)
