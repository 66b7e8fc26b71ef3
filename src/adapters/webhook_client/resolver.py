"""Name resolution with a time limit."""

import socket
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Protocol

from attrs import define, field

from workbell.adapters.webhook_client.addresses import IpAddress, parse_address

MAX_LOOKUPS = 32
"""Concurrent lookups of a process; those that got no answer in time still count."""
IDLE_SECONDS = 10.0
"""Time after which an unused thread ends."""

THREAD_NAME = "name-resolution"

Answer = Future[Sequence[IpAddress]]


class Resolver(Protocol):
    """Resolves host names."""

    def resolve(self, host: str, timeout: float) -> Sequence[IpAddress]:
        """
        Return the addresses of a name, in the order in which to try them.

        Raises:
            OSError: The name cannot be resolved; TimeoutError: not in time.
        """
        ...


@define(eq=False)
class SystemResolver:
    """
    Resolves by the system's resolver, in threads of its own.

    `getaddrinfo` cannot be interrupted, so a lookup without an answer occupies
    its thread until the system gives up (30 s by default on Linux). `_unused` is
    the number of idle threads; it is negative while lookups wait for a thread.
    """

    _lookups: "SimpleQueue[tuple[str, Answer]]" = field(factory=SimpleQueue, init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _threads: int = field(default=0, init=False)
    _unused: int = field(default=0, init=False)

    def resolve(self, host: str, timeout: float) -> Sequence[IpAddress]:
        """Return the addresses of a name; see `Resolver`."""
        answer = Answer()
        self._ensure_thread()
        self._lookups.put((host, answer))
        try:
            return answer.result(timeout)
        except TimeoutError:
            answer.cancel()
            raise

    def _ensure_thread(self) -> None:
        """Reserve an unused thread for a lookup, or start one if the limit allows it."""
        with self._lock:
            if self._unused > 0 or self._threads >= MAX_LOOKUPS:
                self._unused -= 1
                return
            try:
                Thread(target=self._serve, name=THREAD_NAME, daemon=True).start()
            except RuntimeError as error:
                raise OSError(str(error)) from error
            self._threads += 1

    def _serve(self) -> None:
        while True:
            try:
                host, answer = self._lookups.get(timeout=IDLE_SECONDS)
            except Empty:
                if self._may_end():
                    return
                continue
            if answer.set_running_or_notify_cancel():
                _look_up(host, answer)
            with self._lock:
                self._unused += 1

    def _may_end(self) -> bool:
        """Remove this thread unless a lookup has been promised to it."""
        with self._lock:
            is_unused = self._unused > 0
            self._unused -= is_unused
            self._threads -= is_unused
        return is_unused


def _look_up(host: str, answer: Answer) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = [parse_address(str(sockaddr[0])) for *_, sockaddr in found]
        answer.set_result(tuple(dict.fromkeys(addresses)))
    except OSError as error:
        answer.set_exception(error)
    except Exception as error:  # noqa: BLE001 - the thread must go on
        answer.set_exception(OSError(str(error)))
