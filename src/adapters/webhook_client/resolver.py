"""Name resolution with a time limit."""

import socket
from collections.abc import Sequence
from concurrent.futures import Future
from threading import BoundedSemaphore, Thread
from typing import Protocol

from attrs import define, field

from workbell.adapters.webhook_client.addresses import IpAddress, parse_address

MAX_LOOKUPS = 32
"""Concurrent lookups of a process; those that got no answer in time still count."""


class Resolver(Protocol):
    """Resolves host names."""

    def resolve(self, host: str, timeout: float) -> Sequence[IpAddress]:
        """
        Return the addresses of a name, in the order in which to try them.

        Raises:
            OSError: The name cannot be resolved; TimeoutError: not in time.
        """


@define(eq=False)
class SystemResolver:
    """
    Resolves by the system's resolver, in threads of its own.

    `getaddrinfo` cannot be interrupted, so a lookup without an answer occupies
    its thread until the system gives up (30 s by default on Linux).
    """

    _slots: BoundedSemaphore = field(factory=lambda: BoundedSemaphore(MAX_LOOKUPS), init=False)

    def resolve(self, host: str, timeout: float) -> Sequence[IpAddress]:
        """Return the addresses of a name; see `Resolver`."""
        if not self._slots.acquire(timeout=timeout):
            raise TimeoutError("too many name resolutions are waiting for an answer")
        answer = Future[Sequence[IpAddress]]()
        try:
            Thread(target=self._look_up, args=(host, answer), daemon=True).start()
        except RuntimeError as error:
            self._slots.release()
            raise OSError(str(error)) from error
        return answer.result(timeout)

    def _look_up(self, host: str, answer: "Future[Sequence[IpAddress]]") -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = [parse_address(str(sockaddr[0])) for *_, sockaddr in found]
            answer.set_result(tuple(dict.fromkeys(addresses)))
        except (OSError, ValueError) as error:
            answer.set_exception(error if isinstance(error, OSError) else OSError(str(error)))
        finally:
            self._slots.release()
