"""Spans of OpenTelemetry where that is installed, nothing where it is not."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any, Final

_NOTHING: Final = nullcontext()


def span(name: str, **attributes: str | int) -> AbstractContextManager[Any]:
    """
    Have a span around a block: a request, a transaction, an attempt.

    Where spans go is said to OpenTelemetry, by `opentelemetry-instrument` or
    its environment variables. An error that leaves the block is noted in it.
    """
    tracer = _tracer()
    if tracer is None:
        return _NOTHING
    told = {f"workbell.{key}": value for key, value in attributes.items()}
    made: AbstractContextManager[Any] = tracer.start_as_current_span(name, attributes=told)
    return made


@cache
def _tracer() -> Any:
    try:
        return import_module("opentelemetry.trace").get_tracer("workbell")
    except ImportError:
        return None
