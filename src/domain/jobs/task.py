"""Tasks: kinds of work declared in code, and the API of a running task."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NewType, Protocol

from attrs import Factory, define, field, frozen
from attrs.converters import optional

from workbell.domain.constraints import MAX_TEXT, Constraints
from workbell.domain.errors import Conflict, Invalid, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.fields import Attempts, Mebibytes, Name, QueueName, Seconds, TaskKey
from workbell.domain.validation import check_request, to_choice

TaskId = NewType("TaskId", int)

MIN_DELAY_SECONDS = 1.0
MAX_DELAY_SECONDS = 366 * 86_400.0
"""The delays that a task may request: by `Snooze` or by the `retry_after` of an error."""


class OnLost(StrEnum):
    """What happens to a job whose worker died."""

    RETRY = "retry"
    FAIL = "fail"


class Isolation(StrEnum):
    """Where the function of a task runs."""

    THREAD = "thread"
    PROCESS = "process"


class Snooze(Exception):
    """
    Raised by a task to run again after a delay; uses up no attempt.

    Raises:
        Invalid: The delay is not a number from 1 second to 366 days.
    """

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise Invalid(f"A snooze takes a number of seconds, not {seconds!r}.")
        if not MIN_DELAY_SECONDS <= seconds <= MAX_DELAY_SECONDS:  # also NaN
            raise Invalid(f"A snooze takes 1 second to 366 days, not {seconds!r} seconds.")
        super().__init__(f"snoozed for {seconds:g} seconds")
        self.seconds = seconds


@frozen
class ResultForHook:
    """
    A task's result, with data for the settlement hook of another context.

    The hook stores the data in the transaction that stores the outcome.
    """

    result: Any
    data: object = field(repr=False)


class Interrupted(BaseException):
    """
    Raised by `check`, `progress`, `artifact` and the log of a context.

    A task cleans up and lets it propagate.
    """


class Cancelled(Interrupted):
    """Cancellation of the job was requested."""


class TimedOut(Interrupted):
    """The attempt exceeded its timeout."""


class ShuttingDown(Interrupted):
    """The worker is stopping; the job is returned to its queue."""


class OwnershipLost(Interrupted):
    """The lease expired, so another worker may have claimed the job."""


class TaskLog(Protocol):
    """The log of one attempt: stored with the job, limited in size."""

    def debug(self, event: str, **values: object) -> None:
        """Log a detail."""
        ...

    def info(self, event: str, **values: object) -> None:
        """Log a normal event."""
        ...

    def warning(self, event: str, **values: object) -> None:
        """Log an event that may need attention."""
        ...

    def error(self, event: str, **values: object) -> None:
        """Log a failure."""
        ...


class TaskContext(Protocol):
    """
    The job a task is running for, and its means to report back.

    `progress`, `artifact` and every call of `log` raise Interrupted as `check` does.
    """

    @property
    def job_id(self) -> int:
        """The id of the job."""
        ...

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        ...

    @property
    def owner(self) -> UserId:
        """The owner of the job; 0 is the system."""
        ...

    @property
    def schedule_id(self) -> int | None:
        """The schedule that created the job, or None."""
        ...

    @property
    def tick(self) -> datetime | None:
        """The nominal time of the scheduled run, or None."""
        ...

    @property
    def idempotency_key(self) -> str:
        """A key for calls to external systems, equal for all attempts of the job."""
        ...

    @property
    def log(self) -> TaskLog:
        """The attempt's log."""
        ...

    def now(self) -> datetime:
        """Return the current time, aware and in UTC."""
        ...

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Report progress; it is visible within about a second."""
        ...

    def check(self) -> None:
        """
        Raise Interrupted if the task should stop; call it regularly.

        The reason is cancellation, timeout, loss of the lease, or shutdown.
        """
        ...

    def artifact(
        self,
        name: str,
        source: BinaryIO | Path | bytes,
        media_type: str = "application/octet-stream",
    ) -> None:
        """Store a file with the job; its name must be plain and unique in the job."""
        ...


Body = Callable[[TaskContext, Any], Any]
Check = Callable[[Actor, Any], None]
Delay = Callable[[Any], float]


def _to_on_lost(value: object) -> Any:
    return to_choice(OnLost, value)


def _to_isolation(value: object) -> Any:
    return to_choice(Isolation, value)


@frozen(kw_only=True)
class Task:
    """
    A kind of work, declared in code.

    `parameters` is an attrs class (None: any JSON object). `check` validates
    parameters beyond their schema and may raise Invalid, NotAllowed or NotFound.
    `delay` returns the seconds by which given parameters delay the job. `batch`
    is for short, local, idempotent tasks: many jobs are claimed at once, and
    their outcomes are committed together. `is_internal` tasks are not listed, and
    only the service itself creates their jobs; users cannot cancel those that are
    not `is_cancellable`.

    With `isolation` PROCESS the body runs in a child process, which can be killed;
    None is the default of the installation. `memory_mib` limits the address space
    that a body may add to its child, `cpu_seconds` its processor time.

    Raises:
        Invalid: A field has a value that its type or constraints forbid.
    """

    key: TaskKey
    body: Body = field(repr=False)
    name: Name = ""
    description: Annotated[str, Constraints(max_length=MAX_TEXT)] = ""
    parameters: type | None = None
    max_attempts: Attempts = 3
    timeout_seconds: Seconds = 300
    queue: QueueName = "default"
    batch: bool = False
    is_internal: bool = False
    is_cancellable: bool = True
    on_lost: OnLost = field(default=OnLost.RETRY, converter=_to_on_lost)
    isolation: Isolation | None = field(default=None, converter=optional(_to_isolation))
    memory_mib: Mebibytes | None = None
    cpu_seconds: Seconds | None = None
    check: Check | None = None
    delay: Delay | None = None

    def __attrs_post_init__(self) -> None:
        """Check the fields."""
        check_request(self)


@define
class Tasks:
    """The tasks that are registered in this process, by key."""

    _by_key: dict[str, Task] = Factory(dict[str, Task])

    def add(self, task: Task) -> Task:
        """Register a task; Conflict if another one has the same key."""
        if self._by_key.setdefault(task.key, task) is not task:
            raise Conflict(f"There is another task with the key {task.key!r}.")
        return task

    def get(self, key: str) -> Task:
        """Return the task with a key, or raise NotFound."""
        if (task := self._by_key.get(key)) is None:
            raise NotFound(f"This process knows no task {key!r}.")
        return task

    def find(self, key: str) -> Task | None:
        """Return the task with a key, or None."""
        return self._by_key.get(key)

    def all(self) -> Iterable[Task]:
        """Return the tasks in order of registration."""
        return tuple(self._by_key.values())


@frozen(kw_only=True)
class TaskDefinition:
    """
    A task as stored: with an id, a JSON Schema and an on/off switch.

    `parked_at` is set while no worker knows the task; its jobs are held then.
    """

    id: TaskId = TaskId(0)
    key: str
    name: str
    description: str = ""
    schema: Mapping[str, Any] = Factory(dict[str, Any])
    schema_version: int = 1
    is_active: bool = True
    created_at: datetime
    parked_at: datetime | None = None

    @property
    def is_runnable(self) -> bool:
        """Whether jobs of the task may become READY."""
        return self.is_active and self.parked_at is None

    def flat_schema(self) -> dict[str, str]:
        """Return the parameters as {name: type}, as the InsightHub API lists them."""
        return {
            name: _flat_type(schema) for name, schema in self.schema.get("properties", {}).items()
        }


def _flat_type(schema: Mapping[str, Any]) -> str:
    for option in (schema, *schema.get("anyOf", ())):
        match option.get("type"):
            case "string" | "integer" | "boolean" as known:
                return str(known)
            case "number":
                return "float"
    return "object"


def parameter_errors(error: Invalid) -> Invalid:
    """Return a parameter error with its paths moved under `parameters`."""
    return Invalid(
        field_errors={
            f"parameters.{path}" if path else "parameters": messages
            for path, messages in error.field_errors.items()
        }
        or {"parameters": [error.detail]}
    )
