"""The store: transactions, health and metadata."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

Tx_co = TypeVar("Tx_co", covariant=True)


class Store(Protocol[Tx_co]):
    """
    All persistent data, accessible only through transactions.

    Transactions do not nest: `begin()` within `begin()` on the same thread raises
    RuntimeError. After a commit the store wakes the queues that got ready jobs.
    Every call raises Unavailable if the store is unreachable.
    """

    def begin(self, *, single_statement: bool = False) -> AbstractContextManager[Tx_co]:
        """
        Open a transaction: commit at the end of the block, or roll back.

        With `single_statement` the caller promises that the block makes one writing
        call and nothing that can fail after it; the store may then autocommit.

        Raises:
            Contended: Lock or serialization conflict; rolled back, so the caller
                may run the whole block again.
        """

    def view(self) -> AbstractContextManager[Tx_co]:
        """Open the repositories for reading, without a transaction or locks."""


class Health(Protocol):
    """Health checks of a store."""

    def ping(self) -> None:
        """Make the smallest possible round trip; Unavailable if it fails."""

    def time(self) -> datetime:
        """Return the store's clock, aware and in UTC."""

    def schema_version(self) -> str:
        """Return the migration revision of the tables."""


class StoreMetadata(Protocol):
    """Key-value metadata of the store itself, such as the tzdata version."""

    def get(self, name: str) -> str | None:
        """Return a value, or None."""

    def set(self, name: str, value: str) -> None:
        """Insert or update a value."""
