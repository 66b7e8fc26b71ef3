"""Query parameter types that several lists share."""

from typing import Annotated

from workbell.domain.constraints import Limits

TaskName = int | Annotated[str, Limits(min_length=1, max_length=255)]


Text = Annotated[str, Limits(max_length=255)]
