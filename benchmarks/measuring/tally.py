"""Start times of job bodies, in a file to which all workers append."""

import os
import struct
import time
from pathlib import Path

_ENTRY = struct.Struct("<qq")
_FILE = "TALLY"


class TooSlowError(Exception):
    """The jobs did not start in time."""


def note(number: int) -> None:
    """Record number and start time; this is the body of a job."""
    os.write(_open_file(), _ENTRY.pack(number, time.monotonic_ns()))


def clear() -> None:
    """Delete all records."""
    _path().write_bytes(b"")


def count() -> int:
    """Return the number of started bodies."""
    return _path().stat().st_size // _ENTRY.size


def until(jobs: int, seconds: float = 120) -> None:
    """
    Wait until a number of jobs have started.

    Raises:
        TooSlowError: They did not start in time.
    """
    end = time.monotonic() + seconds
    while count() < jobs:
        if time.monotonic() > end:
            raise TooSlowError(f"{count()} of {jobs} jobs started within {seconds} s.")
        time.sleep(0.001)


def begun() -> list[tuple[int, int]]:
    """Return number and time (ns) of each job, ordered by time."""
    return sorted(_ENTRY.iter_unpack(_path().read_bytes()), key=lambda entry: entry[1])


def rate() -> float:
    """Return jobs/s of the middle nine tenths, without start and end."""
    times = [at for _, at in begun()]
    cut = len(times) // 20
    middle = times[cut : len(times) - cut]
    return (len(middle) - 1) / (middle[-1] - middle[0]) * 1e9


def _path() -> Path:
    return Path(os.environ[_FILE])


_descriptor: int | None = None


def _open_file() -> int:
    global _descriptor  # noqa: PLW0603 - one file per process; forks may share it
    if _descriptor is None:
        _descriptor = os.open(_path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    return _descriptor
