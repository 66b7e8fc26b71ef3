"""The task that a filter names by id or key."""

from workbell.domain.errors import Invalid
from workbell.services.jobs.task_definitions import Definitions


def key_of(definitions: Definitions, name: int | str, path: str = "task_definition") -> str:
    """
    Return the key of the task that a filter names by id or key.

    Raises:
        Invalid: There is none; `path` is where the filter stands.
    """
    try:
        return definitions.named(name).key
    except Invalid as error:
        (said,) = error.field_errors.values()
        raise Invalid(field_errors={path: said}) from None
