"""Process lifecycle: signals, waiting for shutdown, exit status."""

import os
import signal
import sys
from threading import Event

from attrs import define, field

EXIT_STUCK = 70


@define(eq=False)
class Lifecycle:
    """Lifecycle of a process: the first signal stops it, the second kills."""

    status: int = 0
    _stop: Event = field(factory=Event)

    def install_signal_handlers(self) -> None:
        """Handle SIGINT and SIGTERM; call it in the main thread."""
        signal.signal(signal.SIGINT, self._handle_signal)
        signal.signal(signal.SIGTERM, self._handle_signal)

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stop.is_set()

    def request_restart(self) -> None:
        """Stop with exit status 70, because threads are stuck."""
        self.status = EXIT_STUCK
        self._stop.set()

    def wait(self) -> None:
        """Wait until a stop is requested."""
        self._stop.wait()

    def exit_status(self, *, stopped_cleanly: bool) -> int:
        """Return the exit status; exit at once if threads are still busy."""
        if not stopped_cleanly or self.status:
            _exit_now(self.status)
        return self.status

    def _handle_signal(self, _: int, __: object) -> None:
        if self.stopping:
            _exit_now(1)
        self._stop.set()


def _exit_now(status: int) -> None:
    """Exit although threads are busy; the leases of their jobs expire."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
