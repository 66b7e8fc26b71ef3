"""Logs: structured lines, for people on a terminal or for programs."""

import logging
import sys
from typing import Any, TextIO

import msgspec
import structlog

from workbell.domain.errors import Unavailable
from workbell.entrypoints.config.enums import LogFormat
from workbell.entrypoints.config.settings import Settings

_opened: list[TextIO] = []
"""The files of this process' logs: a logger keeps to the one that it wrote to first."""


def configure(settings: Settings) -> None:
    """
    Have every log line of the process go where the settings say.

    Raises:
        Unavailable: The log's file cannot be opened.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    stream = _stream(settings)
    renderer: Any = structlog.processors.JSONRenderer(serializer=_json)
    output: Any = stream.buffer  # a BinaryIO, by whatever name the type checkers know it
    factory: Any = structlog.BytesLoggerFactory(file=output)
    if settings.log_format is LogFormat.CONSOLE:
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())
        factory = structlog.WriteLoggerFactory(file=stream)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(
        level=logging.WARNING, stream=stream, format="%(levelname)s %(name)s %(message)s"
    )
    # waitress warns whenever a request waits for a thread, which is normal under load
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


def _stream(settings: Settings) -> TextIO:
    if settings.log_file is None:
        return sys.stderr
    try:
        settings.log_file.parent.mkdir(parents=True, exist_ok=True)
        stream = settings.log_file.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        reason = f"The log {settings.log_file} cannot be written: {error.strerror}."
        raise Unavailable(reason) from error
    _opened.append(stream)
    return stream


def _json(event: Any, **_: Any) -> bytes:
    """Return an event as JSON; what JSON has no form for is told by its `repr`."""
    return msgspec.json.encode(event, enc_hook=repr)
