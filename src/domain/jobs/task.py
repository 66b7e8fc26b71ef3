"""Tasks: what can be run, what it takes, and how it may fail."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, NewType, Protocol

from attrs import Factory, define, field, frozen

from workbell.domain.errors import Conflict, Invalid, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId

TaskId = NewType("TaskId", int)


class OnLost(StrEnum):
    """What becomes of an attempt whose worker died."""

    RETRY = "retry"
    FAIL = "fail"


class Snooze(Exception):
    """Raised by a task's body: try again in so many seconds, at no charge."""

    def __init__(self, seconds: float) -> None:
        """Say after how many seconds to try again."""
        super().__init__(f"snoozed for {seconds:g} seconds")
        self.seconds = seconds


class Interrupted(BaseException):
    """Raised by `context.check()`; a body cleans up and lets it pass."""


class Cancelled(Interrupted):
    """Somebody has asked for the job to be cancelled."""


class TimedOut(Interrupted):
    """The attempt has used up its time."""


class ShuttingDown(Interrupted):
    """The worker is stopping; the attempt is given back."""


class OwnershipLost(Interrupted):
    """The lease has run out and another worker may have the job."""


class TaskLog(Protocol):
    """The log of one attempt: kept with the job, bounded."""

    def debug(self, event: str, **values: object) -> None:
        """Note a detail."""
        ...

    def info(self, event: str, **values: object) -> None:
        """Note what happened."""
        ...

    def warning(self, event: str, **values: object) -> None:
        """Note what may need attention."""
        ...

    def error(self, event: str, **values: object) -> None:
        """Note what went wrong."""
        ...


class TaskContext(Protocol):
    """What a task's body may ask and tell while it runs."""

    @property
    def job_id(self) -> int:
        """The job that is being tried."""
        ...

    @property
    def attempt(self) -> int:
        """Which try this is, from 1."""
        ...

    @property
    def owner(self) -> UserId:
        """Whose job it is; 0 is the system."""
        ...

    @property
    def schedule_id(self) -> int | None:
        """The schedule that made the job, if one did."""
        ...

    @property
    def tick(self) -> datetime | None:
        """The nominal time that the job stands for, if a schedule made it."""
        ...

    @property
    def idempotency_key(self) -> str:
        """A key for outside systems: the same for every try of this job."""
        ...

    @property
    def log(self) -> TaskLog:
        """The attempt's log."""
        ...

    def now(self) -> datetime:
        """Return the time, aware and in UTC."""
        ...

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Tell how far the work is; shown within a second or so."""
        ...

    def check(self) -> None:
        """
        Give the engine a chance to stop the work.

        Raises:
            Interrupted: It was cancelled, is out of time, or must give way.
        """
        ...

    def artifact(
        self,
        name: str,
        source: BinaryIO | Path | bytes,
        media_type: str = "application/octet-stream",
    ) -> None:
        """
        Keep a file with the job, to be downloaded under its name.

        Raises:
            Invalid: The name is no plain file name, or taken in this job.
        """
        ...


Body = Callable[[TaskContext, Any], Any]
Check = Callable[[Actor, Any], None]
Delay = Callable[[Any], float]


def _at_least_one(_: object, attribute: Any, value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name} must be at least 1")


@frozen(kw_only=True)
class Task:
    """
    A kind of work, as declared in code.

    `parameters` is an attrs class (or None for any JSON object). `check` may
    refuse parameters for a reason that no schema can state, with an error of
    the families Invalid, NotAllowed or NotFound; `delay` says by how many
    seconds the parameters put the work off. `batch` is for short, local,
    idempotent work: many are claimed at a time and their outcomes are
    committed together.
    """

    key: str
    body: Body = field(repr=False)
    name: str = ""
    description: str = ""
    parameters: type | None = None
    max_attempts: int = field(default=3, validator=_at_least_one)
    timeout_seconds: int = field(default=300, validator=_at_least_one)
    queue: str = "default"
    batch: bool = False
    on_lost: OnLost = field(default=OnLost.RETRY, converter=OnLost)
    check: Check | None = None
    delay: Delay | None = None


@define
class Tasks:
    """Every task that the running process knows, by key."""

    _by_key: dict[str, Task] = Factory(dict[str, Task])

    def add(self, task: Task) -> Task:
        """
        Make a task known.

        Raises:
            Conflict: Another task has the key.
        """
        if self._by_key.setdefault(task.key, task) is not task:
            raise Conflict(f"There is another task with the key {task.key!r}.")
        return task

    def get(self, key: str) -> Task:
        """
        Return a task by its key.

        Raises:
            NotFound: This process does not know it.
        """
        if (task := self._by_key.get(key)) is None:
            raise NotFound(f"This process knows no task {key!r}.")
        return task

    def find(self, key: str) -> Task | None:
        """Return a task by its key, or None where it is unknown here."""
        return self._by_key.get(key)

    def all(self) -> Iterable[Task]:
        """Return the tasks in the order in which they were added."""
        return tuple(self._by_key.values())


@frozen(kw_only=True)
class TaskDefinition:
    """A task as the store knows it: with an id, a schema, and a switch."""

    id: TaskId = TaskId(0)
    key: str
    name: str
    description: str = ""
    schema: Mapping[str, Any] = Factory(dict[str, Any])
    schema_version: int = 1
    is_active: bool = True
    created_at: datetime

    def flat_schema(self) -> dict[str, str]:
        """Return the parameters as {name: type}, the way InsightHub lists them."""
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
    """Return an error about parameters with every path under `parameters`."""
    return Invalid(
        field_errors={
            f"parameters.{path}" if path else "parameters": said
            for path, said in error.field_errors.items()
        }
        or {"parameters": [error.detail]}
    )
