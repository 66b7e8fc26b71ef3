"""The HTTP server of every process: waitress behind a strict parser."""

import errno
import socket
from collections.abc import Callable
from threading import Event, Thread
from typing import Final
from wsgiref.types import WSGIApplication

from attrs import frozen

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from workbell.adapters.http.server.channel import Channel
from workbell.adapters.http.server.parser import MAX_HEAD_BYTES
from workbell.domain.errors import Unavailable

BACKLOG: Final = 1024
_RECEIVE_BYTES: Final = 65_536
_LOOP_SECONDS: Final = 1


@frozen(kw_only=True)
class ServerLimits:
    """
    Limits of one server, in bytes and seconds.

    `body` exceeds the application's own limit, so the application answers for
    bodies that are slightly too large. A response with more than `unsent`
    bytes waiting for its client blocks the thread that writes it.
    """

    body: int = 1_048_576 + 65_536
    connections: int = 1_000
    idle_seconds: int = 15
    unsent: int = 64 * 1_048_576


class Listener(TcpWSGIServer):
    """waitress' server on a socket that is already bound."""

    channel_class = Channel
    stopping = False

    def __init__(
        self,
        app: WSGIApplication,
        listener: socket.socket,
        adj: Adjustments,
        new_request_id: Callable[[], str],
    ) -> None:
        """Register with the event loop."""
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(adj.threads)
        super().__init__(
            app,
            {},
            _sock=listener,
            dispatcher=dispatcher,
            adj=adj,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
            bind_socket=False,
        )
        self.new_request_id = new_request_id

    def run_until(self, abandoned: Event) -> None:
        """Serve until `stop` was called and all requests are answered or abandoned."""
        while not abandoned.is_set() and (self.active_channels or not self.stopping):
            wasyncore.loop(_LOOP_SECONDS, use_poll=True, map=self._map, count=1)
            if self.stopping:
                self._close_idle_channels()
        if abandoned.is_set():
            for channel in self._channels():
                channel.abandon()
            # a task that still runs may write to the pipe, so only its reader is closed
            wasyncore.file_dispatcher.close(self.trigger)
            self.task_dispatcher.shutdown(timeout=0)
        else:
            self.task_dispatcher.shutdown(timeout=_LOOP_SECONDS)

    def stop(self) -> None:
        """Stop accepting connections; called by the thread of `run_until`."""
        self.stopping = True
        wasyncore.dispatcher.close(self)

    def maintenance(self, now: float) -> None:
        """Close connections that are idle or whose client reads too slowly."""
        super().maintenance(now)
        for channel in self._channels():
            channel.close_if_stalled(now - self.adj.channel_timeout)

    def _close_idle_channels(self) -> None:
        for channel in self._channels():
            channel.close_if_stalled(0.0)
            channel.close_if_idle()

    def _channels(self) -> list[Channel]:
        return list(self.active_channels.values())


def listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens on an address; port 0 selects a free port.

    Raises:
        Unavailable: The port is in use, or the address is not local.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both
        )
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "the port is in use" if taken else _reason(error)
        raise Unavailable(f"Cannot listen on {host}:{port}: {reason}.") from error


class HttpServer:
    """
    An HTTP server in this process, for one WSGI application.

    A worker thread receives a request once it is complete, so slow and idle
    clients occupy no thread. The main thread handles signals.
    """

    def __init__(
        self,
        app: WSGIApplication,
        listener: socket.socket,
        new_request_id: Callable[[], str],
        *,
        threads: int = 8,
        limits: ServerLimits | None = None,
    ) -> None:
        """Prepare to serve an application on a listening socket."""
        limits = limits or ServerLimits()
        self._app, self._socket, self._new_request_id = app, listener, new_request_id
        self._adjustments = Adjustments(
            sockets=[listener],
            threads=threads,
            backlog=BACKLOG,
            ident=None,
            recv_bytes=_RECEIVE_BYTES,
            connection_limit=limits.connections,
            channel_timeout=limits.idle_seconds,
            cleanup_interval=_LOOP_SECONDS,
            max_request_header_size=MAX_HEAD_BYTES,
            max_request_body_size=limits.body,
            outbuf_high_watermark=limits.unsent,
            # the application decides which proxies it trusts
            clear_untrusted_proxy_headers=False,
        )
        self._server: Listener | None = None
        self._abandoned, self._ended = Event(), Event()

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that the socket listens on."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    def start(self) -> None:
        """Serve in a thread."""
        self._server = Listener(self._app, self._socket, self._adjustments, self._new_request_id)
        Thread(target=self._serve, args=(self._server,), name="http", daemon=True).start()

    def stop(self, grace: float = 5.0) -> bool:
        """
        Stop accepting connections and finish running requests.

        Returns whether all were answered within `grace` seconds; the connections
        of the others are closed.
        """
        if self._server is None:
            self._socket.close()
            return True
        if not self._ended.is_set():
            self._server.trigger.pull_trigger(self._server.stop)
            if not self._ended.wait(grace):
                self._abandoned.set()
                self._server.pull_trigger()
                self._ended.wait(2 * _LOOP_SECONDS)
        if not self._abandoned.is_set():
            # not earlier: the loop may end before the pull above has written to the pipe
            self._server.trigger.close()
        return not self._abandoned.is_set()

    def _serve(self, server: Listener) -> None:
        try:
            server.run_until(self._abandoned)
        finally:
            self._ended.set()


def _reason(error: OSError) -> str:
    """Return the message of the system without the suffix of create_server."""
    return (error.strerror or str(error)).partition(" (while")[0]
