"""Loggers: the program's structlog, else the standard library's."""

import logging
from typing import Any

import structlog
from structlog.typing import EventDict

LOGGER = "workbell"
"""The standard logger that a program without a structlog configuration sees."""


class LibraryLogger:
    """
    A logger that configures nothing, because the program around it may not.

    structlog prints to stdout by default, and tracebacks with the values of local
    variables. Until the program configures structlog, events therefore go to the
    logger `workbell` of the standard library, as lines such as `job_lost id=7`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        """Return a method of the logger that the program uses at present."""
        if structlog.is_configured():
            return getattr(structlog.get_logger(self._name), method)
        return getattr(_standard, method)


def get_logger(name: str = LOGGER) -> Any:
    """Return a logger; see `LibraryLogger`."""
    return LibraryLogger(name)


def _to_arguments(_: Any, __: str, event: EventDict) -> tuple[tuple[str], dict[str, Any]]:
    """Return the arguments of a standard logger's method."""
    exc_info = event.pop("exc_info", None)
    words = [str(event.pop("event", "")), *(f"{name}={value}" for name, value in event.items())]
    # no format arguments: a percent sign of a value is none of a format
    return (" ".join(words),), {"exc_info": exc_info}


_standard: Any = structlog.wrap_logger(
    logging.getLogger(LOGGER),
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.contextvars.merge_contextvars,
        _to_arguments,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
