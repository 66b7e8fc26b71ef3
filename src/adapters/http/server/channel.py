"""One client connection: requests in, answers out, and an orderly close."""

import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, Protocol

import structlog

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.task import ErrorTask, Task, WSGITask
from workbell.adapters.http.server.parser import ProtocolError, RequestParser

LINGER_SECONDS: Final = 2.0

_CODES: Final[Mapping[int, str]] = {
    400: "bad_request",
    413: "too_large",
    414: "uri_too_long",
    431: "headers_too_large",
    500: "internal_error",
}
_log = structlog.get_logger(__name__)


class Server(Protocol):
    """What a channel needs of its server."""

    stopping: bool

    def new_request_id(self) -> str:
        """Return an id for a request that has none."""
        ...


class _Response(Task):
    """What all responses of this server have in common."""

    channel: "Channel"
    request: RequestParser

    @property
    def _is_head(self) -> bool:
        return self.request.command == "HEAD"

    def build_response_header(self) -> bytes:
        """Announce the end of the connection while the server stops."""
        if self.channel.server.stopping:
            self.set_close_on_finish()
        return super().build_response_header()

    def set_close_on_finish(self) -> None:
        """Close after the response, unless its end is known: waitress closes after each 204."""
        if (
            self.has_body
            or self.version == "1.0"
            or self.request.connection_close
            or self.channel.server.stopping
        ):
            super().set_close_on_finish()

    def write(self, data: bytes) -> None:
        """Send a part of the body, where the request method permits one."""
        if data and self._is_head:
            self.content_bytes_written += len(data)
            data = b""
        super().write(data)

    def finish(self) -> None:
        """Send what is left without waiting for the server's thread."""
        if not self.wrote_header:
            self.write(b"")
        if self._is_head:
            self.chunked_response = False
        super().finish()
        self.channel.flush()

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


class _Refusal(_Response, ErrorTask):
    """The response to bytes that are not a request."""

    def execute(self) -> None:
        """Send a problem document that says what is wrong."""
        error = self.request.error
        assert isinstance(error, ProtocolError)
        request_id = self.channel.server.new_request_id()
        _log.info(
            "request_refused",
            status=error.status,
            reason=error.detail,
            address=self.channel.addr[0],
            request_id=request_id,
        )
        self.send_problem(error.status, error.detail, request_id)


class _Exchange(_Response, WSGITask):
    """One request to the application, and its response."""

    def get_environment(self) -> dict[str, Any]:
        """Return the WSGI environment, with the path as the client sent it."""
        environ = super().get_environment()
        environ["PATH_INFO"] = self.request.path  # waitress merges slashes at its beginning
        return environ

    def execute(self) -> None:
        """
        Call the application; answer 500 if it fails before the first byte.

        Raises:
            ClientDisconnected: The client has gone.
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
                self.send_problem(500, "The server has failed.", request_id)


class Channel(HTTPChannel):
    """
    One client connection.

    The server's thread reads requests and sends what does not fit into the
    socket at once; the tasks run in worker threads.
    """

    parser_class = RequestParser
    task_class = _Exchange
    error_task_class = _Refusal
    server: Server
    _linger_until: float | None = None

    def flush(self) -> None:
        """Send what the socket accepts now; called by worker threads."""
        with self.outbuf_lock:
            if self.connected and self.total_outbufs_len:
                self._flush_exception(self._flush_some, do_close=False)

    def readable(self) -> bool:
        """Whether the server's thread shall read from the socket."""
        return self._linger_until is not None or super().readable()

    def writable(self) -> bool:
        """Whether the server's thread shall write to the socket, or close it."""
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
        Close the connection, where this server ends it in two steps.

        Closing at once would reset the connection of a client that still
        sends, and the response would be lost (RFC 9112, 9.6).
        """
        if self.will_close and self.connected and self._linger_until is None:
            self._linger_until = time.monotonic() + LINGER_SECONDS
            self.will_close = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                return
        super().handle_close()

    def close_if_idle(self) -> None:
        """Close the connection unless something is left to answer or to send."""
        if not (
            self.requests
            or self.total_outbufs_len
            or self.will_close
            or self.close_when_flushed
            or self._linger_until is not None
        ):
            self.handle_close()

    def close_if_stalled(self, idle_since: float) -> None:
        """Close the connection if its client has had time enough to read."""
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
        """Close the connection although its request still runs."""
        self.will_close = False
        self.handle_close()
