"""Failures of tasks: the error text and the traceback that are stored."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import field, frozen

from workbell.domain.errors import WorkbellError
from workbell.domain.jobs.attempt import Outcome, TaskResult
from workbell.ports.jobs.isolation import ChildCrashed, ChildTraceback
from workbell.services.jobs.tracebacks import (
    clean_text,
    error_text,
    formatted,
    passes_through,
    redact,
    shorten,
)

MAX_ERROR: Final = 4000
"""Maximum length of an error text."""


def call_task(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a task; its tracebacks begin below this frame."""
    return function(*arguments)


@frozen
class Failures:
    """
    Describes errors of tasks.

    `secrets` are values that neither error texts nor tracebacks may contain.
    """

    secrets: Sequence[str] = field(default=(), repr=False)

    def result(self, error: BaseException, text: str, **fields: Any) -> TaskResult:
        """Return the result of a task that raised an error."""
        crashed = isinstance(error, ChildCrashed)
        return TaskResult(
            outcome=Outcome.CRASHED if crashed else Outcome.FAILED,
            error=self._sanitise(text),
            traceback=self.traceback(error),
            **fields,
        )

    def describe(self, error: BaseException) -> str:
        """Return the type and the message of an error."""
        if isinstance(error, ChildCrashed):
            return self._sanitise(str(error))
        return self._sanitise(f"{type(error).__name__}: {error_text(error)}")

    def traceback(self, error: BaseException) -> str | None:
        """Return the traceback of an error; None for a refusal by the engine itself."""
        if isinstance(error, ChildCrashed):
            return None
        if isinstance(error.__cause__, ChildTraceback):
            return shorten(redact(str(error.__cause__), self.secrets))
        above = call_task.__code__
        if isinstance(error, WorkbellError) and not passes_through(error, above):
            return None
        return formatted(error, above=above, secrets=self.secrets)

    def _sanitise(self, text: str) -> str:
        return redact(clean_text(text), self.secrets)[:MAX_ERROR]
