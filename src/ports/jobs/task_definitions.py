"""Repository of task definitions."""

from collections.abc import Sequence
from typing import Protocol

from workbell.domain.jobs.task import TaskDefinition, TaskId


class TaskDefinitionRepository(Protocol):
    """The tasks that the store knows, by id and by key."""

    def add(self, definition: TaskDefinition) -> TaskDefinition:
        """Keep a new definition, and return it with its id; a known key returns the kept one."""
        ...

    def get(self, task_id: TaskId) -> TaskDefinition:
        """
        Return one definition.

        Raises:
            NotFound: There is none with the id.
        """
        ...

    def by_key(self, key: str) -> TaskDefinition:
        """
        Return one definition.

        Raises:
            NotFound: There is none with the key.
        """
        ...

    def all(self) -> Sequence[TaskDefinition]:
        """Return every definition, by id."""
        ...

    def replace(self, definition: TaskDefinition) -> None:
        """Keep a definition as it now stands."""
        ...
