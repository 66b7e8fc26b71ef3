"""Query parameter types that several lists share."""

from typing import Annotated

from workbell.domain.constraints import Constraints

TaskName = int | Annotated[str, Constraints(min_length=1, max_length=255)]


Text = Annotated[str, Constraints(max_length=255)]
