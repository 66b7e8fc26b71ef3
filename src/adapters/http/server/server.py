"""The embedded WSGI server: cheroot behind a strict reading of HTTP/1."""

import errno
import re
import socket
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any
from wsgiref.types import WSGIApplication

import structlog
from cheroot.server import HTTPServer

from workbell.adapters.http.server.connection import Connection
from workbell.adapters.http.server.framing import Limits
from workbell.domain.errors import Unavailable

_log = structlog.get_logger(__name__)
_SYSTEM_S_WORD = re.compile(r"\[Errno -?\d+\] ([^)]+)")


class _Workers:
    """Threads that answer whole requests; stopping never waits for longer than asked."""

    def __init__(self, server: "_Server", threads: int) -> None:
        """Prepare so many threads."""
        self._server = server
        self._whole: SimpleQueue[Connection | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._work, name=f"http-{n}", daemon=True) for n in range(threads)
        ]
        self.put = self._whole.put

    def start(self) -> None:
        """Start working."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Finish what has been put, for so many seconds."""
        until = monotonic() + seconds
        for _ in self._threads:
            self._whole.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - monotonic()))

    @property
    def stopped(self) -> bool:
        """Whether every thread has finished."""
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (conn := self._whole.get()) is not None:
            conn.answer()
            self._server.put_conn(conn)


class _Server(HTTPServer):
    """cheroot's listener and selector, with whole requests only for the workers."""

    ConnectionClass = Connection
    expiration_interval = 0.1
    keep_alive_conn_limit: Any = None
    request_queue_size = 128

    def __init__(
        self, app: WSGIApplication, address: tuple[str, int], threads: int, limits: Limits
    ) -> None:
        """Prepare to listen."""
        super().__init__(address, gateway=None, server_name="workbell")
        self.wsgi_app, self.limits = app, limits
        self.open: set[Connection] = set()
        self.requests = _Workers(self, threads)

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: Any) -> socket.socket:
        """Bind a socket, or close it."""
        try:
            socket_.bind(bind_addr)
        except OSError:
            socket_.close()
            raise
        return socket_

    def process_conn(self, conn: Connection) -> None:
        """Hear a client; give it to a worker once it has asked for something."""
        try:
            if conn.crowded or not self.ready:
                conn.refuse(503, "The server has no room for another connection.")
                conn.close()
            elif conn.hear():
                self.requests.put(conn)
            else:
                self.put_conn(conn)
        except OSError:
            conn.close()

    def put_conn(self, conn: Connection) -> None:
        """Go on listening to a client."""
        try:
            super().put_conn(conn)
        except (OSError, ValueError, KeyError):  # the selector was closed meanwhile
            conn.close()

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Log what cheroot has to say."""
        _log.log(level, msg, exc_info=traceback)


class EmbeddedServer:
    """
    A WSGI server within this process.

    Whole requests only reach its threads: what is slow, idle, overlong or
    ambiguous is dealt with before, so it can hold none of them. Signals are
    the main thread's business.
    """

    def __init__(
        self,
        app: WSGIApplication,
        host: str,
        port: int,
        *,
        threads: int = 8,
        limits: Limits | None = None,
    ) -> None:
        """Prepare to serve an application on an address; port 0 is any free one."""
        self._server = _Server(app, (host, port), threads, limits or Limits())

    @property
    def address(self) -> tuple[str, int]:
        """The host and port; the real ones after `bind`."""
        host, port = self._server.bind_addr
        return str(host), int(port)

    def bind(self) -> None:
        """
        Take the address; clients may connect from now on.

        Raises:
            Unavailable: The address is taken, or is not ours to take.
        """
        host, port = self.address
        try:
            self._server.prepare()
        except OSError as error:
            taken = f"Errno {errno.EADDRINUSE}]" in str(error)
            said = _SYSTEM_S_WORD.search(str(error))  # cheroot wraps it in words of its own
            why = "the port is taken" if taken else said[1] if said else str(error)
            raise Unavailable(f"Cannot listen on {host}:{port}: {why}.") from error

    def serve(self) -> None:
        """Serve until another thread calls `stop`."""
        self._server.serve()

    def start(self) -> None:
        """Serve from a thread of its own, on the address that was taken."""
        Thread(target=self.serve, name="http", daemon=True).start()

    def stop(self, grace: float = 5.0) -> bool:
        """
        Accept no more, finish what is in flight; return whether all was.

        Whatever still runs after so many seconds is abandoned to the end of
        the process. It may be called twice, but not by the serving thread.
        """
        self._server.shutdown_timeout = grace  # type: ignore[assignment]
        self._server.stop()
        return bool(self._server.requests.stopped)
