"""Tracebacks of failed attempts: bounded, without locals and secrets."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from traceback import extract_tb
from types import CodeType, TracebackType
from typing import Final

from attrs import define, field

MAX_BYTES: Final = 16 * 1024
MAX_UNREDACTED_BYTES: Final = 8 * MAX_BYTES
"""Limit before secrets are replaced: a cut within the final text could halve a secret."""
MAX_FRAMES: Final = 60
MAX_CHAIN: Final = 10
MAX_GROUP_WIDTH: Final = 10
MAX_ERRORS: Final = 30
"""Errors of one traceback, in chains and groups together."""
MIN_SECRET: Final = 4
"""Shorter values are no secrets: replacing them would hide ordinary text."""

_MASK: Final = "***"
_URL_CREDENTIALS: Final = re.compile(r"://[^\s/?#:'\"]*:[^\s/?#'\"]*@")
_CAUSE: Final = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT: Final = "\nDuring handling of the above exception, another exception occurred:\n\n"


def formatted(
    error: BaseException,
    *,
    above: CodeType,
    secrets: Sequence[str] = (),
    max_bytes: int = MAX_BYTES,
) -> str:
    """
    Format the traceback of an error as text of at most `max_bytes`.

    Frames down to the last one of the code `above` are omitted: they belong to
    the engine, not to the task. The text has the innermost 60 frames of each
    error, no local variables, up to 10 chained errors and up to 10 members of
    each exception group. Of a longer text, the first quarter and the end remain.
    `secrets`, and credentials in URLs, are replaced by `***`. Never raises an
    Exception, even if `str()` of the error does.
    """
    try:
        text = "".join(_TracebackWriter(above).chain(error))
    except Exception as failure:  # noqa: BLE001 - classes of errors may override anything
        text = f"{type(error).__name__}: no traceback, because of {type(failure).__name__}\n"
    return shorten(redact(clean_text(text), secrets), max_bytes)


def error_text(error: BaseException) -> str:
    """Return the message of an error; never raises an Exception."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - str() of a task's exception may fail
        return "the error has no text"


def clean_text(text: str) -> str:
    """Remove what databases reject: NUL and surrogates."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def redact(text: str, secrets: Sequence[str]) -> str:
    """Replace secrets, and `user:password@` in URLs, by `***`."""
    # the longest first: one secret may contain another
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET:
            text = text.replace(secret, _MASK)
    return _URL_CREDENTIALS.sub(f"://{_MASK}@", text)


def shorten(text: str, max_bytes: int = MAX_BYTES) -> str:
    """Return the first quarter and the end of a text that is too long."""
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    head = max_bytes // 4
    cut = f"\n... {len(data) - max_bytes:,} bytes left out ...\n"
    tail = data[len(data) - (max_bytes - head - len(cut)) :]
    return data[:head].decode("utf-8", "ignore") + cut + tail.decode("utf-8", "ignore")


def passes_through(error: BaseException, code: CodeType) -> bool:
    """Whether an error was raised below a frame of some code."""
    return _below(error.__traceback__, code) is not error.__traceback__


@define
class _TracebackWriter:
    """Writes errors with their causes and members, each of them once."""

    above: CodeType
    _seen: set[int] = field(factory=set[int])

    def chain(self, error: BaseException) -> Iterator[str]:
        """Yield the texts of an error and of what led to it, oldest first."""
        errors: list[tuple[BaseException, str]] = []
        found: BaseException | None = error
        link = ""
        while found is not None and len(errors) < MAX_CHAIN and self._is_new(found):
            errors.append((found, link))
            found, link = _origin(found)
        if found is not None and len(errors) == MAX_CHAIN:
            yield f"Only the last {MAX_CHAIN} errors are shown.\n\n"
        for each, following in reversed(errors):
            yield from self._one(each)
            yield following

    def _is_new(self, error: BaseException) -> bool:
        if id(error) in self._seen or len(self._seen) >= MAX_ERRORS:
            return False
        self._seen.add(id(error))
        return True

    def _one(self, error: BaseException) -> Iterator[str]:
        frames = extract_tb(_below(error.__traceback__, self.above), limit=-MAX_FRAMES)
        if frames:
            yield "Traceback (most recent call last):\n"
            yield from frames.format()
        message = error_text(error)
        yield _qualified_name(type(error)) + (f": {message}\n" if message else "\n")
        for note in islice(getattr(error, "__notes__", ()), MAX_CHAIN):
            yield f"{note}\n"
        if isinstance(error, BaseExceptionGroup):
            yield from self._members(error)

    def _members(self, group: BaseExceptionGroup[BaseException]) -> Iterator[str]:
        for number, member in enumerate(group.exceptions[:MAX_GROUP_WIDTH], start=1):
            yield f"  ---- {number} of {len(group.exceptions)} ----\n"
            text = "".join(self.chain(member)) or "(left out)\n"
            yield "".join(f"  {line}" for line in text.splitlines(keepends=True))
        if (more := len(group.exceptions) - MAX_GROUP_WIDTH) > 0:
            yield f"  ---- {more} more ----\n"


def _origin(error: BaseException) -> tuple[BaseException | None, str]:
    """Return the error that led to another one, and the text between them."""
    if error.__cause__ is not None:
        return error.__cause__, _CAUSE
    return (None if error.__suppress_context__ else error.__context__), _CONTEXT


def _below(traceback: TracebackType | None, code: CodeType) -> TracebackType | None:
    """Return the frames below the last frame of some code; all if there is none."""
    below = frame = traceback
    while frame is not None:
        if frame.tb_frame.f_code is code:
            below = frame.tb_next
        frame = frame.tb_next
    return below


def _qualified_name(cls: type[BaseException]) -> str:
    module = cls.__module__
    return (
        cls.__qualname__ if module in {"builtins", "__main__"} else f"{module}.{cls.__qualname__}"
    )
