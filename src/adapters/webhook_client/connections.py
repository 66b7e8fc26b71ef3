"""Connections to vetted addresses, with a deadline and size limits."""

import io
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection as StandardConnection
from http.client import HTTPResponse
from time import monotonic
from typing import Any, Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from workbell.adapters.webhook_client.addresses import IpAddress, parse_address

MAX_HEAD_BYTES: Final = 65_536
"""Maximum of what is received before the response head is complete, 1xx included."""
MAX_INTERIM: Final = 20
"""Maximum of interim responses, besides 100 (Continue)."""
MAX_BODY_BYTES: Final = 65_536
"""Maximum of what is received after it, chunk framing and trailers included."""

MAX_JOINED_BYTES: Final = 65_536
"""Maximum of a request's head and body that are copied into one piece."""


class ResponseTooLarge(Exception):
    """The response exceeds a limit."""


class ClosedEarly(ConnectionError):
    """The peer closed the connection before its response head was complete."""


class RefusedAddress(Exception):
    """The address must not be connected to."""


class BoundedSocket(socket.socket):
    """
    A socket with one deadline for all operations, and a limit on received bytes.

    `deadline` is a time of the monotonic clock. `received` counts the bytes since
    `start`, `is_dirty` means that no further request may be sent.
    """

    deadline = 0.0
    received = 0
    limit = 0
    first_byte_at = 0.0
    is_dirty = False
    _in_head = False
    _only_buffered = False

    def start(self, deadline: float) -> None:
        """Prepare for a request and its response."""
        self.deadline, self.received, self.limit = deadline, 0, MAX_HEAD_BYTES
        self._in_head = True

    def end_head(self) -> None:
        """Note that the response head is complete."""
        self._in_head = False
        self.limit = self.received + MAX_BODY_BYTES

    def remaining(self) -> float:
        """Return the seconds until the deadline; raises TimeoutError after it."""
        if (seconds := self.deadline - monotonic()) <= 0:
            raise TimeoutError("timed out")
        return seconds

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send everything, before the deadline."""
        self.settimeout(self.remaining())
        super().sendall(data, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send some bytes, before the deadline; TLS sends everything by this."""
        self.settimeout(self.remaining())
        return super().send(data, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = 0, flags: int = 0) -> int:
        """
        Receive bytes, before the deadline.

        Raises:
            ClosedEarly: The peer has closed the connection, and the response
                head is incomplete. `http.client` would accept such a head.
            ResponseTooLarge: The limit is exceeded.
        """
        if self._only_buffered:
            return 0
        self.settimeout(self.remaining())
        count = super().recv_into(buffer, nbytes or 0, flags)
        if not self.received:
            self.first_byte_at = monotonic()
        self.received += count
        if not count:
            self.is_dirty = True
            if self._in_head:
                raise ClosedEarly("the connection was closed before the response was complete")
        if self.received > self.limit:
            raise ResponseTooLarge(f"more than {self.limit:,} bytes")
        return count

    def makefile(self, *args: Any, **options: Any) -> Any:
        """Return a reader that notes bytes after the end of the response."""
        return _ResponseReader(super().makefile(*args, **{**options, "buffering": 0}), self)

    def note_unread(self, reader: io.BufferedReader) -> None:
        """Mark the connection as dirty if a reader has buffered bytes."""
        self._only_buffered = True
        with suppress(OSError):
            self.is_dirty |= bool(reader.peek())
        self._only_buffered = False


class BoundedTlsSocket(BoundedSocket, ssl.SSLSocket):
    """A bounded socket with TLS; `SSLContext.wrap_socket` creates it."""

    def note_unread(self, reader: io.BufferedReader) -> None:
        """Mark the connection as dirty also if TLS has decrypted bytes left."""
        super().note_unread(reader)
        self.is_dirty |= self.pending() > 0


class _ResponseReader(io.BufferedReader):
    def __init__(self, raw: io.RawIOBase, connected: BoundedSocket) -> None:
        super().__init__(raw)
        self._connected = connected

    def close(self) -> None:
        if not self.closed:
            self._connected.note_unread(self)
        super().close()


class FinalResponse(HTTPResponse):
    """The response after all interim ones (1xx, RFC 9110, section 15.2)."""

    def __init__(self, sock: BoundedSocket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._connected = sock

    def begin(self) -> None:
        """Read heads until one is final; `http.client` skips only 100 itself."""
        super().begin()
        for _ in range(MAX_INTERIM + 1):
            if not 101 < self.status < 200:
                break
            self.headers = None  # type: ignore[assignment] # else nothing is read
            super().begin()
        else:
            raise ResponseTooLarge(f"more than {MAX_INTERIM} interim responses")
        self._connected.end_head()


class PinnedConnection(HTTPConnection):
    """
    An HTTP connection over a socket that is connected already.

    The host is the name of the URL: it is in the Host header and, with TLS, in
    SNI and the checked certificate.
    """

    response_class = FinalResponse
    pinned: BoundedSocket
    address: IpAddress
    sock: BoundedSocket
    _unsent: Sequence[bytes] = ()

    def send(self, data: Any) -> None:
        """Add bytes to what `flush` sends."""
        self._unsent = (*self._unsent, data)

    def flush(self) -> None:
        """Send a head and its body together, which saves time, unless the body is large."""
        parts, self._unsent = self._unsent, ()
        if sum(map(len, parts)) <= MAX_JOINED_BYTES:
            parts = [b"".join(parts)]
        for part in parts:
            self.sock.sendall(part)

    def _new_conn(self) -> BoundedSocket:
        return self.pinned

    def get_head(self) -> HTTPResponse:
        """
        Return the response when its head is complete.

        urllib3's own class of responses would decode bodies, and logs the URL of
        responses with malformed headers.
        """
        return StandardConnection.getresponse(self)


class PinnedTlsConnection(PinnedConnection, HTTPSConnection):
    """The same, with TLS."""


def open_socket(address: IpAddress, port: int, deadline: float) -> BoundedSocket:
    """
    Connect to an address.

    Raises:
        OSError: It cannot be reached; TimeoutError: not before the deadline.
        RefusedAddress: The socket is connected to another address.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    connected = BoundedSocket(family, socket.SOCK_STREAM)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.deadline = deadline
        connected.settimeout(connected.remaining())
        connected.connect((str(address), port))
        if parse_address(connected.getpeername()[0]) != address:
            raise RefusedAddress("the connection leads to another address")
    except BaseException:
        connected.close()
        raise
    return connected


def is_local(address: IpAddress) -> bool:
    """Whether an address belongs to this host: only then it can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def make_tls_context() -> ssl.SSLContext:
    """Return a context that requires certificates of the system's authorities."""
    context = create_urllib3_context()
    context.load_default_certs()
    return bounded(context)


def bounded(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make a TLS context create bounded sockets, and return it."""
    context.sslsocket_class = BoundedTlsSocket
    return context
