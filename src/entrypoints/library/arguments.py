"""Arguments of the Python API as the requests of the services."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from workbell.domain.cron.rule import DstGap, DstOverlap
from workbell.domain.errors import Invalid
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import Status
from workbell.domain.jobs.task import parameter_errors
from workbell.domain.plain_values import (
    LIST,
    OBJECT,
    find_instant_problem,
    find_integer_problem,
)
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy
from workbell.domain.validation import check_changes, to_choice
from workbell.services.schedules.requests import NewSchedule

if TYPE_CHECKING:  # `import workbell` stays fast
    from workbell.entrypoints.bootstrap.application import Application

JOB_NAMES: Mapping[str, str] = {
    "task_definition": "task",
    "scheduled_time": "at",
    "Idempotency-Key": "idempotency_key",
}
SCHEDULE_NAMES: Mapping[str, str] = {"task_definition": "task", "cron_expression": "cron"}
"""Names of the HTTP API, and those of the same fields in Python."""

_CHOICES: Mapping[str, Any] = {
    "misfire_policy": MisfirePolicy,
    "overlap_policy": OverlapPolicy,
    "dst_gap": DstGap,
    "dst_overlap": DstOverlap,
}


class ScheduleOptions(TypedDict, total=False):
    """
    Options of a schedule; see [cron](../cron.md) and [jobs](../job-life.md).

    `time_zone` is UTC by default. Without a `queue`, `max_attempts` or
    `timeout_seconds` those of the task are used. `alert_after_seconds` emails the
    owner if a tick has no success within that time.
    """

    parameters: Any
    is_active: bool
    name: str
    time_zone: str
    misfire_policy: str
    overlap_policy: str
    dst_gap: str
    dst_overlap: str
    starts_at: datetime | None
    ends_at: datetime | None
    max_runs: int | None
    jitter_seconds: int
    queue: str | None
    priority: int
    max_attempts: int | None
    timeout_seconds: int | None
    alert_after_seconds: int | None


class ScheduleChanges(ScheduleOptions, total=False):
    """Fields of a schedule that an edit changes, by the names that `create` takes."""

    task: str
    cron: str


def to_json_object(application: "Application", parameters: Any) -> Mapping[str, Any]:
    """Convert parameters of any class to a JSON object; None is an empty one."""
    if parameters is None or isinstance(parameters, Mapping):
        return parameters or {}  # the service converts the values
    try:
        data = application.serializer.unstructure(parameters)
    except Invalid as error:
        raise parameter_errors(error) from error
    if not isinstance(data, Mapping):
        raise Invalid.field("parameters", f"parameters {OBJECT}")
    return data


def to_schedule_fields(application: "Application", options: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return options of a schedule as fields of `NewSchedule`, checked.

    Raises:
        Invalid: A name is unknown or a value not allowed.
    """
    new_names = {name: field for field, name in SCHEDULE_NAMES.items()}
    fields = {new_names.get(name, name): value for name, value in options.items()}
    for name, kind in _CHOICES.items():
        if name in fields:
            fields[name] = to_choice(kind, fields[name])
    if "parameters" in fields:
        fields["parameters"] = to_json_object(application, fields["parameters"])
    check_changes(NewSchedule, fields, "is not a known field")
    return fields


def to_due_time(now: datetime, at: datetime | None, delay: timedelta | None) -> datetime | None:
    """Return when a job is due; Invalid if the delay is negative or ends after year 9999."""
    if delay is None:
        return at
    given: object = delay
    if not isinstance(given, timedelta) or given < timedelta(0):
        raise Invalid.field("delay", "delay must be a timedelta of 0 or more")
    if at is not None and (problem := find_instant_problem(at)) is not None:
        raise Invalid.field("at", f"at {problem}")
    try:
        return (at or now) + delay
    except OverflowError:
        raise Invalid.field("delay", "delay must end before the year 10000") from None


def to_statuses(words: Any) -> Any:
    """Return statuses by their names; Invalid unless they are a list of known ones."""
    if words is None:
        return None
    if not isinstance(words, list | tuple):
        raise Invalid.field("statuses", f"statuses {LIST}")
    return [to_choice(Status, word) for word in words]


def check_id(name: str, number: int) -> int:
    """Return an id or a number of rows; Invalid unless it is an integer of 0 or more."""
    problem = find_integer_problem(number)
    if problem is None and number < 0:
        problem = "must be at least 0"
    if problem is not None:
        raise Invalid.field(name, f"{name} {problem}")
    return number


def check_owner(owner: int) -> UserId:
    """Return the id of an owner; Invalid unless it is an integer of 0 or more."""
    return UserId(check_id("owner", owner))


@contextmanager
def in_python_names(names: Mapping[str, str]) -> Generator[None]:
    """Rename the fields of an Invalid error as the Python API names them."""
    try:
        yield
    except Invalid as error:
        if not names.keys() & error.field_errors.keys():
            raise
        raise Invalid(
            field_errors={
                names.get(path, path): _rename(path, names.get(path, path), messages)
                for path, messages in error.field_errors.items()
            }
        ) from error


def _rename(path: str, name: str, messages: Sequence[str]) -> Sequence[str]:
    return [
        f"{name}{message.removeprefix(path)}" if message.startswith(f"{path} ") else message
        for message in messages
    ]
