"""Lookup of the task in a filter, by id or key."""

from workbell.domain.errors import Invalid
from workbell.services.jobs.task_definitions import TaskDefinitionService


def get_task_key(
    definitions: TaskDefinitionService, name: int | str, path: str = "task_definition"
) -> str:
    """
    Return the key of a task, given its id or key.

    Raises:
        Invalid: There is no such task; the error names the field `path`.
    """
    try:
        return definitions.by_name(name).key
    except Invalid as error:
        (messages,) = error.field_errors.values()
        raise Invalid(field_errors={path: messages}) from None
