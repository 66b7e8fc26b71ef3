"""HTTP/1 request parser that rejects every ambiguous request."""

import re
from collections.abc import Mapping
from typing import Final

from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser
from waitress.receiver import ChunkedReceiver

MAX_LINE_BYTES: Final = 8_192
MAX_HEAD_BYTES: Final = 32_768
MAX_FIELDS: Final = 100
MAX_CHUNK_LINE_BYTES: Final = 256

CRLF: Final = b"\r\n"
# RFC 9110, 5.6.2 and RFC 9112, 3 to 7.1, limited to what real clients send.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HOST: Final = rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_REQUEST_LINE: Final = re.compile(
    rb"(?P<method>[A-Z]+(?:-[A-Z]+)*) "
    rb"(?:(?i:https?)://(?P<host>" + _HOST + rb"))?"
    rb"(?P<path>/(?!/)(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*|\*)?"
    rb"(?P<query>\?[!$-;=?-~]*)?"
    rb" HTTP/(?P<version>1\.[01])"
)
_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*(.*?)[ \t]*", re.DOTALL)
_CHUNK: Final = re.compile(
    rb"([0-9A-Fa-f]{1,8})(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[^"\\]*"))?)*'
)
_BAD_BYTES: Final = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"host"})
_SINGLE: Final = _FRAMING | {b"authorization", b"content-type"}


class ProtocolError(Exception):
    """A client sent bytes that are not an acceptable request."""

    def __init__(self, body: str, code: int = 400) -> None:
        """Store the reason and the status code of the response, named as in waitress."""
        super().__init__(body)
        self.body, self.code = body, code


class RequestParser(HTTPRequestParser):
    """
    waitress' parser behind a check of every head and chunk.

    waitress repairs or ignores malformed input. This parser rejects it, and
    passes on a head in one canonical form.
    """

    version = "1.1"
    command = ""

    def received(self, data: bytes) -> int:
        """Read some bytes of the request; return how many of them belong to it."""
        try:
            if self.body_rcv is None and not self.completed:
                _check_head(self.header_plus, data)
            used = super().received(data)
        except ProtocolError as error:
            self.error, self.completed = error, True
            used = len(data)
        if self.error is not None:
            self.connection_close, self.expect_continue, self.version = True, False, "1.1"
        return used

    def parse_header(self, header_plus: bytes) -> None:
        """
        Check a head and pass its canonical form to waitress.

        Raises:
            ProtocolError: The head is malformed or ambiguous.
        """
        line, *lines = header_plus.rstrip(CRLF).split(CRLF)
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError("The request line must read: METHOD /path HTTP/1.1.")
        fields = _read_fields(lines)
        _check_framing(match["version"], fields)
        if match["host"] is not None:  # replaces Host (RFC 9112, 3.2.2)
            fields[b"host"] = match["host"]
        options = {part.strip().lower() for part in fields.get(b"connection", b"").split(b",")}
        for option in (b"keep-alive", b"close"):  # waitress compares the whole value
            if option in options:
                fields[b"connection"] = option
        head = [b"%b %b HTTP/%b" % (match["method"], _target(match), match["version"])]
        head += [b"%b: %b" % field for field in fields.items()]
        super().parse_header(CRLF.join([*head, b""]))
        if self.chunked:
            self.body_rcv = ChunkedBody(self.adj.inbuf_overflow, self.adj.max_request_body_size)
        self.expect_continue = self.expect_continue and self.body_rcv is not None


class ChunkedBody(ChunkedReceiver):
    """Reads a chunked body; trailers are checked and dropped."""

    def __init__(self, overflow: int, limit: int) -> None:
        """Expect the size of the first chunk; a chunk has at most `limit` bytes."""
        super().__init__(OverflowableBuffer(overflow))
        self._limit = limit
        self._line = bytearray()
        self._state = "size"

    def received(self, s: bytes) -> int:
        """
        Read some bytes of the body; return how many of them belong to it.

        Raises:
            ProtocolError: A chunk or a trailer is malformed.
        """
        used = 0
        while used < len(s) and not self.completed:
            if self._state == "data":
                piece = s[used : used + self.chunk_remainder]
                self.buf.append(piece)
                self.chunk_remainder -= len(piece)
                used += len(piece)
                self._state = "data" if self.chunk_remainder else "end of data"
                continue
            end = s.find(b"\n", used) + 1 or len(s)
            self._read_line(s[used:end])
            used = end
        return used

    def _read_line(self, part: bytes) -> None:
        self._line += part
        limit = MAX_LINE_BYTES if self._state == "trailer" else MAX_CHUNK_LINE_BYTES
        if len(self._line) > limit or _BAD_BYTES.search(self._line):
            raise ProtocolError("A line within the chunked body is malformed or too long.")
        if self._state == "end of data" and not CRLF.startswith(self._line):
            raise ProtocolError("The length of a chunk differs from its size line.")
        if not part.endswith(b"\n"):
            return
        line = bytes(self._line[:-2])
        self._line.clear()
        if self._state == "trailer":
            self._end_trailer(line)
        elif self._state == "end of data":
            self._state = "size"
        elif match := _CHUNK.fullmatch(line):
            self.chunk_remainder = int(match[1], 16)
            if self.chunk_remainder > self._limit:
                raise ProtocolError("The body is too large.", 413)
            self._state = "data" if self.chunk_remainder else "trailer"
        else:
            raise ProtocolError("The size of a chunk must be hexadecimal digits.")

    def _end_trailer(self, line: bytes) -> None:
        if not line:
            self.completed = True
        elif not (match := _FIELD.fullmatch(line)):
            raise ProtocolError("A trailer must read Name: value, on one line.")
        elif match[1].lower().replace(b"_", b"-") in _FRAMING:
            raise ProtocolError("A trailer cannot change the framing of the request.")


def _check_head(before: bytes, data: bytes) -> None:
    """Check the bytes of a head that were just received, up to its end."""
    head = before + data
    start = 2 if head.startswith(CRLF) else 0  # one empty line may precede (RFC 9112, 2.2)
    end = head.find(CRLF * 2, max(start, len(before) - 3))
    if _BAD_BYTES.search(head, max(0, len(before) - 1), len(head) if end < 0 else end + 2):
        raise ProtocolError("Lines must end with CRLF and contain no control characters.")
    if head.startswith((CRLF, b" ", b"\t"), start):
        raise ProtocolError("Only one empty line may precede a request.")
    line_end = head.find(CRLF, start, start + MAX_LINE_BYTES + 2)
    if line_end < 0 and len(head) - start > MAX_LINE_BYTES:
        raise ProtocolError("The request line is too long.", 414)


def _target(match: re.Match[bytes]) -> bytes:
    """Return the target in origin form, or `*` for OPTIONS."""
    path, query = match["path"], match["query"] or b""
    is_options = match["method"] == b"OPTIONS"
    if path == b"*" and (not is_options or query or match["host"]):
        raise ProtocolError("The target * is for OPTIONS only.")
    if path is None and match["host"] is None:
        raise ProtocolError("The request line must read: METHOD /path HTTP/1.1.")
    return (path or (b"*" if is_options and not query else b"/")) + query


def _read_fields(lines: list[bytes]) -> dict[bytes, bytes]:
    if len(lines) > MAX_FIELDS:
        raise ProtocolError("There are too many headers.", 431)
    fields: dict[bytes, bytes] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise ProtocolError("A header must read Name: value, on one line.")
        name, value = match[1].lower(), match[2]
        if b"_" in name:  # in a WSGI environment, Content_Length equals Content-Length
            if name.replace(b"_", b"-") in _FRAMING:
                raise ProtocolError(f"{match[1].decode()} must be spelled with a hyphen.")
        elif name not in fields:
            fields[name] = value
        elif name in _SINGLE:
            raise ProtocolError(f"{match[1].decode()} was sent twice.")
        else:
            fields[name] += (b"; " if name == b"cookie" else b", ") + value
    return fields


def _check_framing(version: bytes, fields: Mapping[bytes, bytes]) -> None:
    host, length = fields.get(b"host"), fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if host is None and version == b"1.1":
        raise ProtocolError("HTTP/1.1 requires a Host header.")
    if host is not None and not re.fullmatch(_HOST, host):
        raise ProtocolError("Host is not a valid host name.")
    if coding is not None and (coding != b"chunked" or length is not None or version == b"1.0"):
        raise ProtocolError("Transfer-Encoding must be chunked, alone, and on HTTP/1.1.")
    if length is not None and not re.fullmatch(rb"[0-9]{1,19}", length):
        raise ProtocolError("Content-Length must be decimal digits.")
