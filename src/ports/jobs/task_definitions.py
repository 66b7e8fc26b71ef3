"""Repository of task definitions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from workbell.domain.jobs.task import TaskDefinition, TaskId


class TaskDefinitionRepository(Protocol):
    """The stored tasks, by id and by key."""

    def add(self, definition: TaskDefinition) -> TaskDefinition:
        """Insert a definition and return it with its id, or the existing one."""

    def get(self, task_id: TaskId) -> TaskDefinition:
        """Return the definition with an id, or raise NotFound."""

    def by_key(self, key: str) -> TaskDefinition:
        """Return the definition with a key, or raise NotFound."""

    def all(self) -> Sequence[TaskDefinition]:
        """Return all definitions, by id."""

    def replace(self, definition: TaskDefinition) -> None:
        """Update a definition."""

    def inactive(self) -> Sequence[str]:
        """Return the keys of inactive tasks."""

    def parked(self) -> Mapping[str, datetime]:
        """Return the keys of parked tasks, each with the time since when."""

    def set_parked(self, key: str, at: datetime | None) -> bool:
        """Park a task, or release it with None; return whether it was in the other state."""
