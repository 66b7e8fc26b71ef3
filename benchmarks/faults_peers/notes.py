"""Notes of what task bodies do, one line each, outside of every broker."""

import os
import time

_FILE = os.open(os.environ["FAULT_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(word: str, what: str) -> None:
    """Write one line at once, so that lines never mix."""
    os.write(_FILE, f"{word} {what} {time.time():.3f}\n".encode())


def work(number: str, milliseconds: int) -> None:
    """Do what the fault tests of Workbell do: wait, and note begin and end."""
    note("began", number)
    time.sleep(milliseconds / 1000)
    note("ended", number)


def tick(number: int) -> None:
    """Note a tick under the minute that is nearest."""
    note("ended", f"tick-{number}-{round(time.time() / 60)}")
