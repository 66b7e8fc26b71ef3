"""Faults of rows: the text that is stored and logged for one."""

from typing import Final

MAX_REASON: Final = 300
"""Maximum length of the reason for which a row is quarantined."""


def describe_fault(error: BaseException) -> str:
    """Return the type and the first line of an error; the others repeat the row's values."""
    line = str(error).strip().partition("\n")[0].replace("\x00", "")
    text = f"{type(error).__name__}: {line}" if line else type(error).__name__
    return text.encode("utf-8", "replace").decode()[:MAX_REASON]
