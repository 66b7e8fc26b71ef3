"""Idle connections, for reuse by the next request to the same host."""

from collections.abc import Collection
from threading import Lock
from time import monotonic
from typing import Final, NamedTuple

from attrs import define, field

from workbell.adapters.webhook_client.addresses import IpAddress
from workbell.adapters.webhook_client.connections import PinnedConnection
from workbell.adapters.webhook_client.urls import RequestTarget

MAX_IDLE: Final = 64
"""Idle connections of a process; beyond that the oldest is closed."""
MAX_IDLE_SECONDS: Final = 30.0


class _Idle(NamedTuple):
    origin: tuple[str, str, int]
    since: float
    connection: PinnedConnection


@define(eq=False)
class IdlePool:
    """
    Idle connections by scheme, name, port and address; safe for threads.

    A connection is reused only for the name for which its certificate was
    checked, and only while the name resolves to its address.
    """

    _idle: list[_Idle] = field(factory=list[_Idle], init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _is_closed: bool = field(default=False, init=False)

    def take(
        self, target: RequestTarget, addresses: Collection[IpAddress]
    ) -> PinnedConnection | None:
        """Remove and return the newest open connection to one of the addresses."""
        while (connection := self._pop(target.origin, addresses)) is not None:
            if connection.is_connected:  # and there is nothing to read
                return connection
            connection.close()
        return None

    def put(self, target: RequestTarget, connection: PinnedConnection) -> None:
        """Add a connection, or close it if the pool is closed."""
        with self._lock:
            added = not self._is_closed
            if added:
                self._idle.append(_Idle(target.origin, monotonic(), connection))
            closing = self._remove_expired()
        if not added:
            closing.append(connection)
        for each in closing:
            each.close()

    def close(self) -> None:
        """Close all connections, now and when they are put."""
        with self._lock:
            self._is_closed = True
            closing, self._idle = self._idle, []
        for each in closing:
            each.connection.close()

    def _pop(
        self, origin: tuple[str, str, int], addresses: Collection[IpAddress]
    ) -> PinnedConnection | None:
        with self._lock:
            for n in range(len(self._idle) - 1, -1, -1):
                each = self._idle[n]
                if each.origin == origin and each.connection.address in addresses:
                    return self._idle.pop(n).connection
        return None

    def _remove_expired(self) -> list[PinnedConnection]:
        """Remove the connections that are too old or too many; oldest are first."""
        oldest = monotonic() - MAX_IDLE_SECONDS
        count = max(0, len(self._idle) - MAX_IDLE)
        while count < len(self._idle) and self._idle[count].since < oldest:
            count += 1
        removed, self._idle = self._idle[:count], self._idle[count:]
        return [each.connection for each in removed]
