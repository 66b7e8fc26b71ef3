"""Services of the machine: clock, unique ids and randomness."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The clock that all components use."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC, with microseconds."""


class Ids(Protocol):
    """Unique, unguessable ids of requests, tokens and processes (not of rows)."""

    def new(self) -> str:
        """Return a new id."""


class Randomness(Protocol):
    """Random numbers: secure ones for codes, and jitter."""

    def randbelow(self, bound: int) -> int:
        """Return a cryptographically secure integer in the range [0, bound)."""

    def uniform(self, low: float, high: float) -> float:
        """Return a float between `low` and `high`."""
