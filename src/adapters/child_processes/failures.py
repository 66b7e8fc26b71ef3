"""Errors as frames, and frames as errors."""

from typing import Final

from workbell.adapters.child_processes.frames import FailureFrame
from workbell.domain.errors import Invalid, NotAllowed, NotFound, Throttled, Unavailable
from workbell.domain.jobs.task import (
    Cancelled,
    Interrupted,
    OwnershipLost,
    ShuttingDown,
    Snooze,
    TimedOut,
)
from workbell.ports.jobs.isolation import ChildTraceback
from workbell.services.jobs.failures import call_task
from workbell.services.jobs.tracebacks import MAX_UNREDACTED_BYTES, error_text, formatted

MAX_TEXT: Final = 8_000

INTERRUPTIONS: Final = {
    kind.__name__: kind for kind in (Cancelled, TimedOut, ShuttingDown, OwnershipLost)
}
_PERMANENT: Final = {kind.__name__: kind for kind in (Invalid, NotAllowed, NotFound)}
_TEMPORARY: Final = {kind.__name__: kind for kind in (Throttled, Unavailable)}
_OTHER: Final = "error"


def to_frame(error: BaseException) -> FailureFrame:
    """Describe an error that a body or a context has raised."""
    for names in (INTERRUPTIONS, _PERMANENT, _TEMPORARY):
        for name, kind in names.items():
            if isinstance(error, kind):
                return FailureFrame(
                    kind=name,
                    text=_clean(getattr(error, "detail", ""), MAX_TEXT),
                    seconds=getattr(error, "retry_after", None),
                    traceback=_format(error),
                )
    if isinstance(error, Snooze):
        return FailureFrame(kind="Snooze", seconds=error.seconds)
    return FailureFrame(
        kind=_OTHER,
        name=_clean(type(error).__name__, MAX_TEXT),
        text=_clean(error_text(error), MAX_TEXT),
        traceback=_format(error),
    )


def to_error(frame: FailureFrame) -> BaseException:
    """Return the error that a frame describes, caused by a `ChildTraceback`."""
    error = _make_error(frame)
    if frame.traceback:
        error.__cause__ = ChildTraceback(frame.traceback)
    return error


def _make_error(frame: FailureFrame) -> BaseException:
    if (interruption := INTERRUPTIONS.get(frame.kind)) is not None:
        return interruption()
    if (permanent := _PERMANENT.get(frame.kind)) is not None:
        return permanent(frame.text)
    match frame.kind:
        case "Throttled":
            return Throttled(frame.seconds or 0.0)
        case "Unavailable":
            return Unavailable(frame.text, retry_after=frame.seconds or 0.0)
        case "Snooze":
            return Snooze(frame.seconds or 0.0)
    # the name of the class is part of the attempt's error
    error: Exception = type(frame.name, (Exception,), {})(frame.text)
    return error


def _format(error: BaseException) -> str:
    # a child has no settings: its parent replaces their secrets, and shortens the text
    return formatted(error, above=call_task.__code__, max_bytes=MAX_UNREDACTED_BYTES)


def _clean(text: str, limit: int) -> str:
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def interruption(why: type[Interrupted]) -> str:
    """Return the name by which a frame refers to a reason to stop."""
    return next(name for name, kind in INTERRUPTIONS.items() if issubclass(why, kind))
