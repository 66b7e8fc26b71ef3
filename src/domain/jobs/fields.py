"""Types of fields that jobs, schedules and tasks share."""

from typing import Annotated

from workbell.domain.constraints import NOT_BLANK, Constraints

TaskKey = Annotated[
    str, Constraints(min_length=1, max_length=255, pattern=NOT_BLANK, hint="must not be blank")
]
Name = Annotated[str, Constraints(max_length=255)]
QueueName = Annotated[str, Constraints(min_length=1, max_length=64, pattern="[a-z0-9][a-z0-9_.-]*")]
Priority = Annotated[int, Constraints(ge=-100, le=100)]
Attempts = Annotated[int, Constraints(ge=1, le=100)]
Seconds = Annotated[int, Constraints(ge=1, le=86_400)]
Mebibytes = Annotated[int, Constraints(ge=1, le=1_048_576)]
