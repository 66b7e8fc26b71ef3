"""Records of task bodies in a file, independent of any broker."""

import os
import time

_FILE = os.open(os.environ["FAULT_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(word: str, number: str) -> None:
    """Append a line in one write."""
    os.write(_FILE, f"{word} {number} {time.time():.3f}\n".encode())


def work(number: str, milliseconds: int) -> None:
    """Wait, and record start and end, like the fault tests of Workbell."""
    note("began", number)
    time.sleep(milliseconds / 1000)
    note("ended", number)


def tick(number: int) -> None:
    """Record a tick of the nearest minute."""
    note("ended", f"tick-{number}-{round(time.time() / 60)}")
