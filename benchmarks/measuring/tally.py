"""When each job's body began, in one file that all worker processes append to."""

import os
import struct
import time
from pathlib import Path

_ENTRY = struct.Struct("<qq")
_FILE = "TALLY"


class TooSlowError(Exception):
    """The jobs were not done in time."""


def note(number: int) -> None:
    """Be the body of a job: write down its number and the time, by the machine's clock."""
    os.write(_opened(), _ENTRY.pack(number, time.monotonic_ns()))


def clear() -> None:
    """Forget every job."""
    _path().write_bytes(b"")


def count() -> int:
    """Return how many bodies have begun."""
    return _path().stat().st_size // _ENTRY.size


def until(jobs: int, seconds: float = 120) -> None:
    """
    Wait for so many jobs.

    Raises:
        TooSlowError: They were not done in so many seconds.
    """
    end = time.monotonic() + seconds
    while count() < jobs:
        if time.monotonic() > end:
            raise TooSlowError(f"{count()} of {jobs} jobs were done in {seconds} s.")
        time.sleep(0.001)


def begun() -> list[tuple[int, int]]:
    """Return number and time, in ns, of each job, in the order of time."""
    return sorted(_ENTRY.iter_unpack(_path().read_bytes()), key=lambda entry: entry[1])


def rate() -> float:
    """Return jobs a second over the middle nine tenths: starting and stopping are left out."""
    times = [at for _, at in begun()]
    cut = len(times) // 20
    middle = times[cut : len(times) - cut]
    return (len(middle) - 1) / (middle[-1] - middle[0]) * 1e9


def _path() -> Path:
    return Path(os.environ[_FILE])


_descriptor: int | None = None


def _opened() -> int:
    global _descriptor  # noqa: PLW0603 - one file a process, and forks may share it
    if _descriptor is None:
        _descriptor = os.open(_path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return _descriptor
