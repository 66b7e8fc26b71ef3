"""One client of the embedded server, and its way to the application."""

import math
import socket
from contextlib import suppress
from io import BytesIO
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import unquote_to_bytes

import structlog
from cheroot.server import HTTPRequest
from cheroot.wsgi import Gateway_10

from workbell.adapters.http.server.framing import (
    CONTROL,
    CRLF,
    Inbox,
    RefusedError,
    Request,
    problem,
)

if TYPE_CHECKING:
    from workbell.adapters.http.server.server import _Server
_log = structlog.get_logger(__name__)
_PIECE: Final = 65_536
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class GoneError(Exception):
    """The client does not take its answer."""


class Connection:
    """One client: heard by the selector's thread, answered by a worker."""

    ssl_env: Any = None
    remote_addr = ""
    remote_port = 0

    def __init__(self, server: "_Server", sock: socket.socket, _makefile: object) -> None:
        """Listen to a client that was just accepted."""
        self.server, self.socket = server, sock
        self.rfile = Inbox(server.limits)
        self.crowded = len(server.open) >= server.limits.connections
        self._request: Request | None = None
        self._lingering = False
        self._deadline = 0.0
        self._await("idle")
        sock.settimeout(0)
        server.open.add(self)

    @property
    def last_used(self) -> float:
        """When it was last used, for cheroot, which closes what is long unused."""
        return math.inf if monotonic() < self._deadline else -math.inf

    @last_used.setter
    def last_used(self, _: float) -> None:
        """Ignore cheroot's own reckoning: a byte a second is no use."""

    def hear(self) -> bool:
        """
        Take what the client has sent; return whether a request is whole.

        Raises:
            OSError: The client has gone.
        """
        data = b"" if self.rfile.has_data() else self._receive()
        if self._lingering:
            return False
        phase = self.rfile.phase
        try:
            self._request = self.rfile.feed(data)
        except RefusedError as error:
            self.refuse(error.status, error.detail)
            return False
        if self.rfile.phase != phase:
            self._await(self.rfile.phase)
        if self.rfile.expects_continue:
            self.rfile.expects_continue = False
            self.socket.send(_CONTINUE)
        return self._request is not None

    def answer(self) -> None:
        """Have the application answer the request, then be ready for the next."""
        if (request := self._request) is None:
            return
        self._request = None
        self.socket.settimeout(self.server.limits.write_seconds)
        exchange = Exchange(self, request)
        try:
            exchange.respond()
        except GoneError:
            exchange.close_connection = True
        except BaseException:  # noqa: BLE001 - even sys.exit() in a handler costs no worker
            path, _, _ = request.target.partition("?")
            _log.exception("request_failed", method=request.method, path=path)
            exchange.fail()
        self.socket.settimeout(0)
        if exchange.close_connection:
            self.hang_up()
        else:
            self._await("idle")

    @property
    def wfile(self) -> Self:
        """The file that cheroot writes answers to."""
        return self

    def write(self, data: bytes) -> None:
        """
        Send all of something, from a worker.

        Raises:
            GoneError: The client has gone, or reads too slowly.
        """
        view = memoryview(data)
        try:
            for start in range(0, len(view), _PIECE):
                self.socket.sendall(view[start : start + _PIECE])
        except OSError as error:
            raise GoneError from error

    def refuse(self, status: int, detail: str) -> None:
        """Say why, without waiting, and hang up."""
        with suppress(OSError):
            self.socket.send(problem(status, detail))
        self.hang_up()

    def hang_up(self) -> None:
        """
        Say no more, and listen no longer than the client needs to notice.

        Closing at once would reset a client that still sends, and its answer
        would be lost (RFC 9112, 9.6).
        """
        self.rfile.clear()
        self._lingering = True
        self._await("linger")
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket; say so if the client has run out of time."""
        if self.rfile.phase != "idle" and not self._lingering and monotonic() >= self._deadline:
            self.refuse(408, "The request took too long to arrive.")
        self.server.open.discard(self)
        self.socket.close()

    def _await(self, what: str) -> None:
        seconds: float = getattr(self.server.limits, f"{what}_seconds")
        self._deadline = monotonic() + seconds

    def _receive(self) -> bytes:
        try:
            data = self.socket.recv(_PIECE)
        except BlockingIOError:
            return b""
        if not data:
            raise ConnectionAbortedError
        return data


class Exchange(HTTPRequest):
    """One request's way into the application, and the answer's way back."""

    def __init__(self, conn: Connection, request: Request) -> None:
        """Hand cheroot the request as if it had read it."""
        super().__init__(conn.server, conn)
        path, _, query = request.target.partition("?")
        self.method, self.uri = request.method.encode(), request.target.encode()
        self.path, self.qs = unquote_to_bytes(path), query.encode()
        self.request_protocol = f"HTTP/{request.version}".encode()
        self.response_protocol = f"HTTP/{request.version}"
        self.inheaders = {
            name.encode(): value.encode("latin-1") for name, value in request.fields.items()
        }
        self.close_connection = not request.keep_alive
        # The body is whole and knows its end: that is what `wsgi.input_terminated` says.
        self.rfile, self.chunked_read = BytesIO(request.body), True
        self._left: int | None = None

    def respond(self) -> None:
        """
        Call the application and send what it answers.

        Raises:
            GoneError: The client does not take it.
        """
        gateway: Any = Gateway_10(self)
        chunks = self.server.wsgi_app(gateway.env, gateway.start_response)
        try:
            for chunk in filter(None, chunks):
                gateway.write(chunk)
        finally:
            if close := getattr(chunks, "close", None):
                close()
        self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.write(b"0\r\n\r\n")
        # Less than was promised: what follows would be taken for the rest.
        self.close_connection |= bool(self._left)

    def send_headers(self) -> None:
        """
        Send the head, unless a value would break out of its line.

        Raises:
            ValueError: There is no status, or a header holds a control character.
        """
        self.sent_headers = False  # cheroot believes it too early
        if not self.status:
            raise ValueError("start_response was not called.")
        for name, value in self.outheaders:
            if CONTROL.search(name + value):
                raise ValueError(f"The header {name!r} holds a control character.")
            if name.lower() == b"content-length" and self._has_body:
                self._left = int(value)
        self.sent_headers = True
        super().send_headers()

    def write(self, chunk: bytes) -> None:
        """Send a part of the body, where there may be one."""
        if self._has_body:
            if self._left is not None:
                self._left -= len(chunk)
            super().write(chunk)

    def simple_response(self, status: str, msg: str = "") -> None:
        """
        Refuse to answer in cheroot's own words.

        Raises:
            ValueError: Always: the application has broken its own promise.
        """
        raise ValueError(f"{status}: {msg}")

    def fail(self) -> None:
        """Say that the application has failed, if it is not too late."""
        self.close_connection = True
        if not self.sent_headers:
            answer = problem(500, "The server has failed.")
            if self.method == b"HEAD":
                answer = answer[: answer.index(CRLF * 2) + 4]
            with suppress(GoneError):
                self.conn.write(answer)

    @property
    def _has_body(self) -> bool:
        status: Any = self.status  # text until start_response, bytes from then on
        return self.method != b"HEAD" and status[:3] not in {b"204", b"304"}
