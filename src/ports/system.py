"""The machine: time, opaque ids, randomness and waiting."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The one clock that everything goes by."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC, to the microsecond."""
        ...


class Ids(Protocol):
    """Opaque ids: of requests, tokens and processes, never of rows."""

    def new(self) -> str:
        """Return an id that nobody can guess and that nobody had before."""
        ...


class Randomness(Protocol):
    """Chance, for codes that nobody may guess and for spreading load."""

    def randbelow(self, bound: int) -> int:
        """Return an integer from 0 up to, not including, the bound."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """Return a number between two others."""
        ...
