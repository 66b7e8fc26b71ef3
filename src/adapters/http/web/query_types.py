"""Query parameter types that several lists share."""

from typing import Annotated

from workbell.domain.constraints import Constraints

TaskReference = int | Annotated[str, Constraints(min_length=1, max_length=255)]
"""The id of a task definition, or its key."""
FilterText = Annotated[str, Constraints(max_length=255)]
