"""A mailer that sends in a background thread."""

from queue import Empty, Full, Queue
from threading import Lock, Thread

from attrs import Factory, define, field

from workbell.adapters.logs import get_logger
from workbell.domain.errors import WorkbellError
from workbell.ports.mail import Email, Mailer

MAX_QUEUED = 1_000
IDLE_SECONDS = 5.0


@define(eq=False)
class BackgroundMailer:
    """
    Passes emails to another mailer, one at a time, in a background thread.

    The time of a response then does not reveal whether an email was sent. The
    thread ends after 5 idle seconds. Emails that are queued when the process
    ends are lost, as are new ones while 1,000 are queued.
    """

    _mailer: Mailer
    _messages: Queue[Email] = field(init=False, default=Factory(lambda: Queue(MAX_QUEUED)))
    _thread: Thread | None = field(init=False, default=None)
    _lock: Lock = field(init=False, default=Factory(Lock), repr=False)

    def send(self, message: Email) -> None:
        """Queue an email; errors are only logged."""
        with self._lock:
            try:
                self._messages.put_nowait(message)
            except Full:
                get_logger().error("mail_dropped", reason="queue is full")
                return
            if self._thread is None:
                self._thread = Thread(target=self._work, name="mail", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Wait until every queued email was sent or has failed."""
        self._messages.join()

    def _work(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._mailer.send(message)
            except WorkbellError as error:
                get_logger().warning("mail_failed", reason=error.code)
            except Exception as error:  # noqa: BLE001 - one email must not stop the others
                get_logger().error("mail_failed", exc_info=error)
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
