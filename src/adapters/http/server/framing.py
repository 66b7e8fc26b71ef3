"""HTTP/1 framing, read strictly: bytes in, whole requests out."""

import json
import re
from collections.abc import Generator, Mapping
from email.utils import formatdate
from typing import Final

from attrs import frozen

CRLF: Final = b"\r\n"

# RFC 9110, 5.6.2 and RFC 9112, 3 to 7.1, read as narrowly as real clients write.
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105
CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_REQUEST_LINE: Final = re.compile(
    r"([A-Z]+(?:-[A-Z]+)*) "
    r"(/(?!/)(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*(?:\?[!$-;=?-~]*)?) "
    r"HTTP/(1\.[01])"
)
_FIELD: Final = re.compile(rf"({_TOKEN}):(.*)")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LENGTH: Final = re.compile(r"[0-9]{1,19}")
_CHUNK: Final = re.compile(
    rf'([0-9A-Fa-f]{{1,8}})(?:;{_TOKEN}(?:=(?:{_TOKEN}|"[^"\\]*"))?)*'  # 4 GiB, or nonsense
)

_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "host"})
_SINGLE: Final = _FRAMING | {"authorization", "content-type"}
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding"})

_CODES: Final = {
    400: ("bad_request", "Bad Request"),
    408: ("request_timeout", "Request Timeout"),
    413: ("content_too_large", "Content Too Large"),
    414: ("uri_too_long", "URI Too Long"),
    431: ("headers_too_large", "Request Header Fields Too Large"),
    500: ("internal_error", "Internal Server Error"),
    503: ("unavailable", "Service Unavailable"),
}


@frozen(kw_only=True)
class Limits:
    """
    How much a client may send, and how long it may take: bytes and seconds.

    `body` lies above the application's own limit, so that what is a little
    too large is still refused in the application's words.
    """

    line: int = 8_192
    head: int = 32_768
    fields: int = 100
    body: int = 1_048_576 + 65_536
    connections: int = 512
    idle_seconds: float = 15.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 10.0
    linger_seconds: float = 2.0


@frozen(kw_only=True)
class Request:
    """One whole request, its body in memory and free of chunks."""

    method: str
    target: str
    version: str
    fields: Mapping[str, str]
    body: bytes

    @property
    def keep_alive(self) -> bool:
        """Whether the client would like to ask again on this connection."""
        asked = {part.strip().lower() for part in self.fields.get("connection", "").split(",")}
        return "close" not in asked and (self.version == "1.1" or "keep-alive" in asked)


class RefusedError(Exception):
    """What a client sent is no request that anyone should answer."""

    def __init__(self, detail: str, status: int = 400) -> None:
        """Say what was wrong, and which status tells it best."""
        super().__init__(detail)
        self.detail, self.status = detail, status


def problem(status: int, detail: str) -> bytes:
    """Return a whole answer that says what was wrong and ends the connection."""
    code, title = _CODES[status]
    document = {"type": "about:blank", "title": title, "status": status}
    body = json.dumps({**document, "detail": detail, "code": code}).encode()
    head = (
        f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n"
        f"X-Content-Type-Options: nosniff\r\nDate: {formatdate(usegmt=True)}\r\n\r\n"
    )
    return head.encode() + body


class Inbox:
    """
    What a client has sent, read as a row of requests.

    It never waits: it is fed what has come and goes on where it stopped.
    cheroot takes it for the connection's `rfile`.
    """

    def __init__(self, limits: Limits) -> None:
        """Start empty."""
        self._limits = limits
        self._bytes = bytearray()
        self._unread = False
        self._reading = self._request()
        self.phase = "idle"
        self.expects_continue = False

    def has_data(self) -> bool:
        """Whether bytes wait that were not looked at yet."""
        return self._unread

    def clear(self) -> None:
        """Forget everything; nothing more will be read."""
        self._bytes.clear()
        self._unread = False

    def feed(self, data: bytes) -> Request | None:
        """
        Take some more bytes; return the request that they complete.

        Raises:
            RefusedError: They cannot be a request.
        """
        self._bytes += data
        self._unread = False
        if self._bytes:
            try:
                next(self._reading)
            except StopIteration as whole:
                self._reading = self._request()
                self.phase = "idle"
                self._unread = bool(self._bytes)
                request: Request = whole.value
                return request
        return None

    def _request(self) -> Generator[None, None, Request]:
        self.phase = "head"
        # One empty line is forgiven before a request (RFC 9112, 2.2).
        line = (yield from self._line(self._limits.line, 414)) or (
            yield from self._line(self._limits.line, 414)
        )
        if not (parts := _REQUEST_LINE.fullmatch(line)):
            raise RefusedError("The request line must read: METHOD /path HTTP/1.1.")
        fields = yield from self._fields(self._limits.head - len(line))
        if parts[3] == "1.1" and "host" not in fields:
            raise RefusedError("HTTP/1.1 asks for a Host header.")
        length = _body_length(parts[3], fields)
        self.phase = "body"
        expected = fields.get("expect", "").lower() == "100-continue"
        self.expects_continue = expected and parts[3] == "1.1" and length != 0
        if length is None:
            body = yield from self._chunks()
            fields = {**fields, "content-length": str(len(body))}
            del fields["transfer-encoding"]
        elif length > self._limits.body:
            raise RefusedError("The body is too large.", 413)
        else:
            body = yield from self._exactly(length)
        self.expects_continue = False
        return Request(method=parts[1], target=parts[2], version=parts[3], fields=fields, body=body)

    def _line(self, room: int, too_long: int) -> Generator[None, None, str]:
        start = 0
        while True:
            control = CONTROL.search(self._bytes, start)
            start = control.start() if control else len(self._bytes)
            if start > room:
                raise RefusedError("A line or the whole head is too long.", too_long)
            if control and self._bytes[start : start + 2] == CRLF:
                line = self._bytes[:start].decode("latin-1")
                del self._bytes[: start + 2]
                return line
            if control and self._bytes[start:] != b"\r":
                raise RefusedError("Lines end with CRLF and hold no control characters.")
            yield

    def _exactly(self, size: int) -> Generator[None, None, bytes]:
        while len(self._bytes) < size:
            yield
        taken = bytes(self._bytes[:size])
        del self._bytes[:size]
        return taken

    def _fields(self, room: int) -> Generator[None, None, dict[str, str]]:
        fields: dict[str, str] = {}
        lines = 0
        while line := (yield from self._line(room, 431)):
            room -= len(line) + len(CRLF)
            lines += 1
            if lines > self._limits.fields:
                raise RefusedError("There are too many headers.", 431)
            _add_field(fields, line)
        return fields

    def _chunks(self) -> Generator[None, None, bytes]:
        body = bytearray()
        room = self._limits.body
        size = -1
        while size:
            line = yield from self._line(256, 400)
            if not (chunk := _CHUNK.fullmatch(line)):
                raise RefusedError("A chunk's size must be hexadecimal digits.")
            size = int(chunk[1], 16)
            # The frames count too, or a body of tiny chunks would cost more than it weighs.
            room -= size + len(line) + 2 * len(CRLF)
            if room < 0:
                raise RefusedError("The body is too large.", 413)
            if size:
                data = yield from self._exactly(size + len(CRLF))
                if not data.endswith(CRLF):
                    raise RefusedError("A chunk is not as long as it says.")
                body += data[:-2]
        trailers = yield from self._fields(self._limits.head)
        if not _FRAMING.isdisjoint(trailers):
            raise RefusedError("A trailer cannot change where the request ends.")
        return bytes(body)


def _add_field(fields: dict[str, str], line: str) -> None:
    if not (parts := _FIELD.fullmatch(line)):
        raise RefusedError("A header must read Name: value, on one line.")
    name, value = parts[1].lower(), parts[2].strip(" \t")
    if "_" in name:
        # In a WSGI environment Content_Length would pass for Content-Length.
        if name.replace("_", "-") in _FRAMING:
            raise RefusedError(f"{parts[1]} is not how that header is spelt.")
        return
    if name == "host" and not _HOST.fullmatch(value):
        raise RefusedError("Host does not name a host.")
    if name in fields:
        if name in _SINGLE:
            raise RefusedError(f"{parts[1]} was sent twice.")
        value = f"{fields[name]}{'; ' if name == 'cookie' else ', '}{value}"
    fields[name] = value


def _body_length(version: str, fields: Mapping[str, str]) -> int | None:
    """Return how many bytes the body has; None if its chunks will tell."""
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if coding != "chunked" or length is not None or version == "1.0":
            raise RefusedError("Transfer-Encoding must be chunked, alone, and on HTTP/1.1.")
        return None
    if length is not None and not _LENGTH.fullmatch(length):
        raise RefusedError("Content-Length must be decimal digits.")
    return int(length or 0)
