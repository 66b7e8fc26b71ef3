"""Errors as frames, and frames as errors."""

from traceback import TracebackException
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

MAX_TEXT: Final = 8_000
MAX_TRACEBACK: Final = 32_000
MAX_FRAMES: Final = 60

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
        text=_clean(_text(error), MAX_TEXT),
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
    """Format a traceback without the frames of this package."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__package__") == __package__:
        trace = trace.tb_next
    try:
        formatted = TracebackException(type(error), error, trace, limit=-MAX_FRAMES, compact=True)
        text = "".join(formatted.format())
    except Exception as failure:  # noqa: BLE001 - the error is of a class of the user
        text = f"The traceback could not be formatted: {type(failure).__name__}"
    if len(text) > MAX_TRACEBACK:
        text = f"{text[: MAX_TRACEBACK // 4]}\n...\n{text[-MAX_TRACEBACK // 4 * 3 :]}"
    return _clean(text, 2 * MAX_TRACEBACK)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the error is of a class of the user
        return "the error has no text"


def _clean(text: str, limit: int) -> str:
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def interruption(why: type[Interrupted]) -> str:
    """Return the name by which a frame refers to a reason to stop."""
    return next(name for name, kind in INTERRUPTIONS.items() if issubclass(why, kind))
