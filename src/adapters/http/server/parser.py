"""HTTP/1 request parser that refuses every request with two readings."""

import re
from typing import Final

from waitress.adjustments import Adjustments
from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser, unquote_bytes_to_wsgi
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver

MAX_LINE_BYTES: Final = 8_192
MAX_HEAD_BYTES: Final = 32_768
MAX_FIELDS: Final = 100
MAX_CHUNK_LINE_BYTES: Final = 256

CRLF: Final = b"\r\n"
# RFC 9110, 5.6.2 and RFC 9112, 3 to 7.1, read as narrowly as real clients write.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HOST: Final = rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_REQUEST_LINE: Final = re.compile(
    rb"(?P<method>[A-Z]+(?:-[A-Z]+)*) "
    rb"(?P<target>\*|(?:(?i:https?)://(?P<host>" + _HOST + rb"))?"
    rb"(?P<path>/(?!/)(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
    rb"(?:\?(?P<query>[!$-;=?-~]*))?)"
    rb" HTTP/(?P<version>1\.[01])"
)
_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*(.*?)[ \t]*", re.DOTALL)
_HOST_VALUE: Final = re.compile(_HOST)
_LENGTH: Final = re.compile(rb"[0-9]{1,19}")
_CHUNK: Final = re.compile(
    rb"([0-9A-Fa-f]{1,8})(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[^"\\]*"))?)*'
)
_BAD_IN_HEAD: Final = re.compile(
    rb"(?<!\r)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]",
)
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"host"})
_SINGLE: Final = _FRAMING | {b"authorization", b"content-type"}


class ProtocolError(Exception):
    """The bytes of a client are not a request that this server accepts."""

    def __init__(self, detail: str, status: int = 400) -> None:
        """Store the reason and the status of the answer."""
        super().__init__(detail)
        self.detail, self.status = detail, status


class RequestParser(HTTPRequestParser):
    """
    Reads one request; waitress creates one for each.

    In place of waitress' own reading, which repairs or ignores what is
    malformed, the first ambiguity ends the request with an error, and the
    rest of what was received with it is discarded.
    """

    version = "1.1"
    command = ""
    path = ""

    def __init__(self, adj: Adjustments) -> None:
        """Start with nothing received."""
        super().__init__(adj)
        self.error: ProtocolError | None = None
        self.body_rcv: FixedStreamReceiver | ChunkedBody | None = None

    def received(self, data: bytes) -> int:
        """Read some bytes of the request; return how many of them belong to it."""
        if self.completed:
            return 0
        try:
            return self._read_head(data) if self.body_rcv is None else self._read_body(data)
        except ProtocolError as error:
            self.error, self.completed, self.expect_continue = error, True, False
            self.connection_close, self.version = True, "1.1"
            return len(data)

    def _read_head(self, data: bytes) -> int:
        buffered = len(self.header_plus)
        head = self.header_plus = self.header_plus + data
        # One empty line is accepted before a request (RFC 9112, 2.2).
        start = 2 if head.startswith(CRLF) else 0
        end = head.find(CRLF * 2, max(start, buffered - 3))
        _check_head(head, start, max(0, buffered - 1), len(head) if end < 0 else end + 2)
        if end < 0:
            return len(data)
        self.headers_finished = True
        self._parse_head(head[start:end])
        self.header_plus = b""
        self.completed = self.body_rcv is None
        return end + 4 - buffered

    def _read_body(self, data: bytes) -> int:
        body = self.body_rcv
        assert body is not None
        used = body.received(data)
        self.completed = body.completed
        if self.completed and self.chunked:
            self.headers["CONTENT_LENGTH"] = str(len(body))
        return used

    def _parse_head(self, head: bytes) -> None:
        line, *lines = head.split(CRLF)
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError("The request line must read: METHOD /path HTTP/1.1.")
        self.command, self.version = match["method"].decode(), match["version"].decode()
        if len(lines) > MAX_FIELDS:
            raise ProtocolError("There are too many headers.", 431)
        fields: dict[bytes, bytes] = {}
        for each in lines:
            _add_field(fields, each)
        if self.version == "1.1" and b"host" not in fields:
            raise ProtocolError("HTTP/1.1 requires a Host header.")
        self._set_target(match, fields)
        self._set_body(fields)
        self._set_connection(fields)
        self.headers = {
            name.decode().upper().replace("-", "_"): value.decode("latin-1")
            for name, value in fields.items()
        }

    def _set_target(self, match: re.Match[bytes], fields: dict[bytes, bytes]) -> None:
        """Set path and query; the host of an absolute target replaces Host (RFC 9112, 3.2.2)."""
        target, host, path, query = match.group("target", "host", "path", "query")
        if target == b"*" and self.command != "OPTIONS":
            raise ProtocolError("Only OPTIONS may have the target *.")
        if self.command == "OPTIONS" and path is None and query is None:
            path = b"*"
        elif host is None and path is None:
            raise ProtocolError("The request line must read: METHOD /path HTTP/1.1.")
        if host is not None:
            fields[b"host"] = host
        path, query = path or b"/", query or b""
        self.path, self.query = unquote_bytes_to_wsgi(path), query.decode("latin-1")
        self.request_uri = (path + (b"?" + query if query else b"")).decode("latin-1")
        self.url_scheme = self.adj.url_scheme

    def _set_body(self, fields: dict[bytes, bytes]) -> None:
        limit = self.adj.max_request_body_size
        coding, length = fields.pop(b"transfer-encoding", None), fields.get(b"content-length")
        if coding is not None:
            if coding != b"chunked" or length is not None or self.version == "1.0":
                raise ProtocolError("Transfer-Encoding must be chunked, alone, and on HTTP/1.1.")
            self.chunked = True
            self.body_rcv = ChunkedBody(OverflowableBuffer(self.adj.inbuf_overflow), limit)
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise ProtocolError("Content-Length must be decimal digits.")
            self.content_length = int(length)
            if self.content_length > limit:
                raise ProtocolError("The body is too large.", 413)
            if self.content_length:
                buffer = OverflowableBuffer(self.adj.inbuf_overflow)
                self.body_rcv = FixedStreamReceiver(self.content_length, buffer)
        expected = fields.get(b"expect", b"").lower() == b"100-continue"
        self.expect_continue = expected and self.version == "1.1" and self.body_rcv is not None

    def _set_connection(self, fields: dict[bytes, bytes]) -> None:
        """Set whether the connection ends with the answer; waitress compares one word."""
        asked = {part.strip().lower() for part in fields.get(b"connection", b"").split(b",")}
        if b"close" in asked:
            fields[b"connection"] = b"close"
        elif b"keep-alive" in asked:
            fields[b"connection"] = b"keep-alive"
        self.connection_close = b"close" in asked or (
            self.version == "1.0" and b"keep-alive" not in asked
        )


class ChunkedBody(ChunkedReceiver):
    """Reads a chunked body of a limited size; trailers are checked and dropped."""

    def __init__(self, buf: OverflowableBuffer, limit: int) -> None:
        """Expect the first chunk; data may have `limit` bytes, their framing a quarter."""
        super().__init__(buf)
        self._data_left, self._framing_left = limit, limit // 4
        self._line = bytearray()
        self._state = "size"

    def received(self, s: bytes) -> int:
        """
        Read some bytes of the body; return how many of them belong to it.

        Raises:
            ProtocolError: A chunk or a trailer is malformed, or the body too large.
        """
        used = 0
        while used < len(s) and not self.completed:
            if self._state == "data":
                piece = s[used : used + self.chunk_remainder]
                self.buf.append(piece)
                used += len(piece)
                self.chunk_remainder -= len(piece)
                if not self.chunk_remainder:
                    self._state = "end of data"
            else:
                used = self._read_line(s, used)
        return used

    def _read_line(self, s: bytes, start: int) -> int:
        end = s.find(b"\n", start)
        stop = len(s) if end < 0 else end + 1
        self._line += s[start:stop]
        self._framing_left -= stop - start
        if self._framing_left < 0:
            raise ProtocolError("The body is too large.", 413)
        most = MAX_LINE_BYTES if self._state == "trailer" else MAX_CHUNK_LINE_BYTES
        if len(self._line) > most or _BAD_IN_HEAD.search(self._line):
            raise ProtocolError("A line within the chunked body is malformed or too long.")
        if self._state == "end of data" and not CRLF.startswith(self._line):
            raise ProtocolError("A chunk is not as long as it says.")
        if end >= 0:
            line = bytes(self._line[:-2])
            self._line.clear()
            self._end_line(line)
        return stop

    def _end_line(self, line: bytes) -> None:
        if self._state == "end of data":
            self._state = "size"
        elif self._state == "size":
            self._start_chunk(line)
        elif line:
            if not (match := _FIELD.fullmatch(line)):
                raise ProtocolError("A trailer must read Name: value, on one line.")
            if match[1].lower().replace(b"_", b"-") in _FRAMING:
                raise ProtocolError("A trailer cannot change where the request ends.")
        else:
            self.completed = True

    def _start_chunk(self, line: bytes) -> None:
        if not (match := _CHUNK.fullmatch(line)):
            raise ProtocolError("The size of a chunk must be hexadecimal digits.")
        size = int(match[1], 16)
        self._data_left -= size
        if self._data_left < 0:
            raise ProtocolError("The body is too large.", 413)
        self.chunk_remainder = size
        self._state = "data" if size else "trailer"


def _check_head(head: bytes, start: int, unread: int, stop: int) -> None:
    """Check what has been received of a head, from the byte that was not looked at yet."""
    if _BAD_IN_HEAD.search(head, unread, stop):
        raise ProtocolError("Lines end with CRLF and hold no control characters.")
    if head.startswith(CRLF, start):
        raise ProtocolError("Only one empty line may come before a request.")
    line = head.find(CRLF, start, start + MAX_LINE_BYTES + 2)
    if line < 0 and len(head) - start > MAX_LINE_BYTES:
        raise ProtocolError("The request line is too long.", 414)
    if stop - start > MAX_HEAD_BYTES:
        raise ProtocolError("The headers are too long.", 431)


def _add_field(fields: dict[bytes, bytes], line: bytes) -> None:
    if not (match := _FIELD.fullmatch(line)):
        raise ProtocolError("A header must read Name: value, on one line.")
    name, value = match[1].lower(), match[2]
    if b"_" in name:
        # In a WSGI environment Content_Length would pass for Content-Length.
        if name.replace(b"_", b"-") in _FRAMING:
            raise ProtocolError(f"{match[1].decode()} is not the spelling of that header.")
        return
    if name == b"host" and not _HOST_VALUE.fullmatch(value):
        raise ProtocolError("Host does not name a host.")
    if name in fields:
        if name in _SINGLE:
            raise ProtocolError(f"{match[1].decode()} was sent twice.")
        value = fields[name] + (b"; " if name == b"cookie" else b", ") + value
    fields[name] = value
