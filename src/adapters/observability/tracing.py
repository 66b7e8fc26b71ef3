"""OpenTelemetry spans, if OpenTelemetry is installed."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any, Final

_NO_SPAN: Final = nullcontext()


def span(name: str, **attributes: str | int) -> AbstractContextManager[Any]:
    """
    Return a context manager that records a span and any error.

    Configure the export by `opentelemetry-instrument` or OpenTelemetry's
    environment variables.
    """
    tracer = _tracer()
    if tracer is None:
        return _NO_SPAN
    prefixed = {f"workbell.{key}": value for key, value in attributes.items()}
    manager: AbstractContextManager[Any] = tracer.start_as_current_span(name, attributes=prefixed)
    return manager


@cache
def _tracer() -> Any:
    try:
        return import_module("opentelemetry.trace").get_tracer("workbell")
    except ImportError:
        return None
