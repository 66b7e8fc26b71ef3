"""The life of a process: what it heeds, what it waits for, how it ends."""

import os
import signal
import sys
from threading import Event

from attrs import define, field

EXIT_STUCK = 70


@define(eq=False)
class Lifecycle:
    """
    One process from its start to its end.

    The first SIGTERM or SIGINT asks it to stop, the second one ends it.
    """

    status: int = 0
    _stop: Event = field(factory=Event)

    def install_signal_handlers(self) -> None:
        """Take the signals; only the main thread may call it."""
        signal.signal(signal.SIGINT, self._handle_signal)
        signal.signal(signal.SIGTERM, self._handle_signal)

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stop.is_set()

    def request_restart(self) -> None:
        """Stop, and have a supervisor start the process anew: its threads are stuck."""
        self.status = EXIT_STUCK
        self._stop.set()

    def wait(self) -> None:
        """Wait until it is asked to stop."""
        self._stop.wait()

    def exit_status(self, *, stopped_cleanly: bool) -> int:
        """Return the exit status; where threads are still busy, end the process at once."""
        if not stopped_cleanly or self.status:
            _exit_now(self.status)
        return self.status

    def _handle_signal(self, _: int, __: object) -> None:
        if self.stopping:
            _exit_now(1)
        self._stop.set()


def _exit_now(status: int) -> None:
    """End the process although threads are busy; their leases run out."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
