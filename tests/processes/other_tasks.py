"""Tasks of a process that does not know those of `process_tasks`."""

from collections.abc import Mapping
from typing import Any

import workbell


@workbell.task("nap")
def nap(_: workbell.TaskContext, __: Mapping[str, Any]) -> None:
    """Do nothing."""
