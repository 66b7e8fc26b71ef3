"""Records of task bodies, one line each, outside of every broker."""

import os
import time

_FILE = os.open(os.environ["FAULT_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(word: str, what: str) -> None:
    """Append one line by a single write: lines stay whole."""
    os.write(_FILE, f"{word} {what} {time.time():.3f}\n".encode())


def work(number: str, milliseconds: int) -> None:
    """Wait, and record begin and end, as the fault tests of Workbell do."""
    note("began", number)
    time.sleep(milliseconds / 1000)
    note("ended", number)


def tick(number: int) -> None:
    """Record a tick under the nearest minute."""
    note("ended", f"tick-{number}-{round(time.time() / 60)}")
