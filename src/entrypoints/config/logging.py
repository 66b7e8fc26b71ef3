"""Logging: structured lines, for a terminal or as JSON."""

import atexit
import logging
import sys
from typing import Any, TextIO

import msgspec
import structlog

from workbell.domain.errors import Unavailable
from workbell.entrypoints.config.enums import LogFormat
from workbell.entrypoints.config.settings import Settings


def configure(settings: Settings) -> None:
    """
    Configure structlog and logging for this process.

    Raises:
        Unavailable: LOG_FILE cannot be opened.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    stream = _open_stream(settings)
    renderer: Any = structlog.processors.JSONRenderer(serializer=_to_json)
    factory: Any = structlog.BytesLoggerFactory(file=stream.buffer)
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
    # dramatiq warns about its own threads
    logging.getLogger("dramatiq").setLevel(logging.ERROR)
    # waitress warns whenever a request waits for a thread, which is normal under load
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


def _open_stream(settings: Settings) -> TextIO:
    if settings.log_file is None:
        return sys.stderr
    try:
        settings.log_file.parent.mkdir(parents=True, exist_ok=True)
        stream = settings.log_file.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        reason = f"The log file {settings.log_file} cannot be opened: {error.strerror}."
        raise Unavailable(reason) from error
    atexit.register(stream.close)  # not earlier: cached loggers write to the first stream
    return stream


def _to_json(event: Any, **_: Any) -> bytes:
    """Encode an event as JSON; unsupported types are encoded as their `repr`."""
    return msgspec.json.encode(event, enc_hook=repr)
