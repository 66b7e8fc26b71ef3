"""A mailer that makes nobody wait, and so tells nobody whether it sent."""

from queue import Empty, Full, Queue
from threading import Lock, Thread

import structlog
from attrs import Factory, define, field

from workbell.domain.errors import WorkbellError
from workbell.ports.mail import Email, Mailer

WAITING = 1_000
IDLE_SECONDS = 5.0


@define(eq=False)
class BackgroundMailer:
    """
    Hands letters to another mailer, one after another, in a thread of its own.

    How long an answer takes then says nothing of whether mail went out. The
    thread ends when there is nothing to do; what waits when the process ends
    is lost, and so is what comes when a thousand letters wait.
    """

    _mailer: Mailer
    _messages: Queue[Email] = field(init=False, default=Factory(lambda: Queue(WAITING)))
    _thread: Thread | None = field(init=False, default=None)
    _lock: Lock = field(init=False, default=Factory(Lock), repr=False)

    def send(self, message: Email) -> None:
        """Take one letter; whether it arrives is told to the log only."""
        with self._lock:
            try:
                self._messages.put_nowait(message)
            except Full:
                structlog.get_logger().error("mail dropped", reason="too many letters wait")
                return
            if self._thread is None:
                self._thread = Thread(target=self._work, name="mail", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Wait until every letter was handed over, or given up."""
        self._messages.join()

    def _work(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._mailer.send(message)
            except WorkbellError as error:
                structlog.get_logger().warning("mail failed", reason=error.code)
            except Exception as error:  # noqa: BLE001 - one letter must not stop the others
                structlog.get_logger().error("mail failed", exc_info=error)
            finally:
                self._messages.task_done()

    def _next(self) -> Email | None:
        try:
            return self._messages.get(timeout=IDLE_SECONDS)
        except Empty:
            with self._lock:
                if not self._messages.empty():
                    return self._messages.get_nowait()
                self._thread = None
                return None
