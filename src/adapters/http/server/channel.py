"""Client connections: tasks, problem responses, and lingering close."""

import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, Protocol

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.task import ErrorTask, Task, WSGITask
from workbell.adapters.http.server.parser import RequestParser
from workbell.adapters.logs import get_logger

LINGER_SECONDS: Final = 2.0
SEND_BYTES: Final = 65_536
"""How many bytes of a response are collected before they are sent."""

_CODES: Final[Mapping[int, str]] = {
    400: "bad_request",
    413: "too_large",
    414: "uri_too_long",
    431: "headers_too_large",
    500: "internal_error",
}
_TOO_LARGE: Final = {413: "The body is too large.", 431: "The headers are too large."}
_log = get_logger(__name__)


class Server(Protocol):
    """The part of the server that a channel uses."""

    stopping: bool

    def new_request_id(self) -> str:
        """Return a new request id."""
        ...


class _Response(Task):
    """Base of the responses of this server."""

    channel: "Channel"
    request: RequestParser

    @property
    def _is_head(self) -> bool:
        return self.request.command == "HEAD"

    def build_response_header(self) -> bytes:
        """Add `Connection: close` while the server is stopping."""
        if self.channel.server.stopping:
            self.set_close_on_finish()
        return super().build_response_header()

    def set_close_on_finish(self) -> None:
        """Close only if needed; waitress itself closes after each 204 and 304."""
        if (
            self.has_body
            or self.version == "1.0"
            or self.request.connection_close
            or self.channel.server.stopping
        ):
            super().set_close_on_finish()

    def write(self, data: bytes) -> None:
        """Send a part of the body, except in response to HEAD."""
        if data and self._is_head:
            self.content_bytes_written += len(data)
            data = b""
        super().write(data)

    def finish(self) -> None:
        """Send the rest of the response from this thread."""
        if not self.wrote_header:
            self.write(b"")
        if self._is_head:
            self.chunked_response = False
        super().finish()
        self.channel.send_collected()

    def send_problem(self, status: int, detail: str, request_id: str) -> None:
        """Send a problem document (RFC 9457) and close the connection."""
        title = HTTPStatus(status).phrase if status != 413 else "Content Too Large"
        body = json.dumps(
            {
                "type": "about:blank",
                "title": title,
                "status": status,
                "detail": detail,
                "code": _CODES[status],
                "request_id": request_id,
            }
        ).encode()
        self.complete = True
        self.status = f"{status} {title}"
        self.response_headers = [
            ("Content-Type", "application/problem+json"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Request-Id", request_id),
        ]
        self.content_length = len(body)
        self.set_close_on_finish()
        self.write(body)


class _Rejection(_Response, ErrorTask):
    """The response to bytes that the parser rejected."""

    def execute(self) -> None:
        """Send a problem document with the reason."""
        error = self.request.error
        detail: str = _TOO_LARGE.get(error.code) or error.body
        request_id = self.channel.server.new_request_id()
        _log.info(
            "request_refused",
            status=error.code,
            reason=detail,
            address=self.channel.addr[0],
            request_id=request_id,
        )
        self.send_problem(error.code, detail, request_id)


class _RequestResponse(_Response, WSGITask):
    """A call of the application, and its response."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment; waitress would change the path `*` to `/*`."""
        environ = super().get_environment()
        environ["PATH_INFO"] = self.request.path
        return environ

    def execute(self) -> None:
        """
        Call the application; answer 500 if it fails before the first byte.

        Raises:
            ClientDisconnected: The client closed the connection.
        """
        try:
            super().execute()
            if not self.wrote_header:
                self.write(b"")
        except ClientDisconnected:
            raise
        except BaseException:  # noqa: BLE001 - not even sys.exit() in a handler ends a thread
            request_id = self.channel.server.new_request_id()
            _log.exception(
                "request_failed",
                method=self.request.command,
                path=self.request.path,
                request_id=request_id,
            )
            if self.wrote_header:
                self.close_on_finish = True
                self.chunked_response = False  # without its last chunk, the body is incomplete
            else:
                self.request.connection_close = True
                self.content_bytes_written = 0
                self.send_problem(500, "An unexpected error occurred.", request_id)


class Channel(HTTPChannel):
    """
    One client connection.

    The server thread reads requests and sends what the socket did not accept
    at once; tasks run in worker threads.
    """

    parser_class = RequestParser
    task_class = _RequestResponse
    error_task_class = _Rejection
    server: Server
    _linger_until: float | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take over an accepted connection."""
        self._collected = list[bytes]()
        self._collected_bytes = 0
        super().__init__(*arguments, **options)

    def write_soon(self, data: Any) -> int:
        """
        Collect a part of a response; return its length.

        Small parts, such as the head and the body, are sent together: each send
        hands the interpreter to another thread.
        """
        if not isinstance(data, bytes):  # a file
            self.send_collected()
            return super().write_soon(data)
        self._collected.append(data)
        self._collected_bytes += len(data)
        if self._collected_bytes >= SEND_BYTES:
            self.send_collected()
        return len(data)

    def send_collected(self) -> None:
        """
        Send the collected parts; called by worker threads.

        Raises:
            ClientDisconnected: The client closed the connection.
        """
        data = b"".join(self._collected)
        self._collected.clear()
        self._collected_bytes = 0
        super().write_soon(data)

    def readable(self) -> bool:
        """Whether the server thread should read from the socket."""
        return self._linger_until is not None or super().readable()

    def writable(self) -> bool:
        """Whether the server thread should write to the socket or close it."""
        return self._linger_until is None and bool(super().writable())

    def handle_read(self) -> None:
        """Read; after the last response, read and discard."""
        if self._linger_until is None:
            super().handle_read()
            return
        with suppress(OSError):
            self.recv(self.adj.recv_bytes)  # at the end of the stream, this closes the channel

    def handle_close(self) -> None:
        """
        Close the connection in two steps if the server ends it.

        Closing at once would reset the connection of a client that is still
        sending, and lose the response (RFC 9112, 9.6).
        """
        if self.will_close and self.connected and self._linger_until is None:
            self._linger_until = time.monotonic() + LINGER_SECONDS
            self.will_close = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                return
        super().handle_close()

    def close_if_idle(self) -> None:
        """Close the connection unless a request or a response is pending."""
        if not (
            self.requests
            or self.total_outbufs_len
            or self.will_close
            or self.close_when_flushed
            or self._linger_until is not None
        ):
            self.handle_close()

    def close_if_stalled(self, idle_since: float) -> None:
        """Close the connection if its client reads too slowly."""
        if self._linger_until is not None:
            if time.monotonic() >= self._linger_until:
                self.handle_close()
        elif (
            self.requests
            and self.last_activity < idle_since
            and self.total_outbufs_len > self.adj.outbuf_high_watermark
        ):
            self.handle_close()  # a worker thread waits for the client

    def abandon(self) -> None:
        """Close the connection while its request is still running."""
        self.will_close = False
        self.handle_close()
