"""The store: everything that is kept, reached through transactions only."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

Tx_co = TypeVar("Tx_co", covariant=True)


class Store(Protocol[Tx_co]):
    """
    Everything that is kept, reached through transactions only.

    A `begin()` inside a `begin()` of the same thread raises RuntimeError, on
    every store. After a commit the store wakes the queues that got ready work.
    """

    def begin(self, *, single_statement: bool = False) -> AbstractContextManager[Tx_co]:
        """
        Open a transaction: kept when its block ends, undone when it raises.

        `sole` promises that the block makes one call that writes, and nothing
        that may fail after it: a store may keep that with the call.

        Raises:
            Contended: Another transaction was in the way, and nothing was
                kept: the whole block may be done again at once.
            Unavailable: The store does not answer, or could not commit.
        """
        ...

    def view(self) -> AbstractContextManager[Tx_co]:
        """
        Open the repositories for reading: no transaction, no lock.

        Raises:
            Unavailable: The store does not answer.
        """
        ...


class Health(Protocol):
    """Whether a store answers, and by which clock."""

    def ping(self) -> None:
        """
        Do the smallest round trip.

        Raises:
            Unavailable: The store does not answer.
        """
        ...

    def time(self) -> datetime:
        """Return the store's own time, aware and in UTC."""
        ...

    def schema_version(self) -> str:
        """Return the revision that the store's tables have."""
        ...


class StoreMetadata(Protocol):
    """Small facts about the store itself, by name: such as the tzdata version."""

    def get(self, name: str) -> str | None:
        """Return a fact, if it is known."""
        ...

    def set(self, name: str, value: str) -> None:
        """Keep a fact."""
        ...
