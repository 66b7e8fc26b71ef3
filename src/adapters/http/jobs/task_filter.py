"""The task that a filter names by id or key."""

from workbell.domain.errors import Invalid
from workbell.services.jobs.task_definitions import TaskDefinitionService


def key_of(
    definitions: TaskDefinitionService, name: int | str, path: str = "task_definition"
) -> str:
    """
    Return the key of the task that a filter names by id or key.

    Raises:
        Invalid: There is none; `path` is where the filter stands.
    """
    try:
        return definitions.by_name(name).key
    except Invalid as error:
        (said,) = error.field_errors.values()
        raise Invalid(field_errors={path: said}) from None
