"""The HTTP server: strict parsing, slow clients, a graceful stop."""

import io
import json
import select
import socket
import struct
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Event, Thread
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import falcon
import pytest
from structlog.testing import capture_logs

from workbell.adapters.http.server.channel import SEND_BYTES, Channel
from workbell.adapters.http.server.server import HttpServer, ServerLimits, listen
from workbell.domain.errors import Unavailable

pytestmark = pytest.mark.integration

Address = tuple[str, int]

HELLO = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
PATIENCE = 10.0


class Recorder:
    """An application that echoes bodies and remembers what reached it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.environ: WSGIEnvironment = {}

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        self.seen.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], body))
        self.environ = environ
        start("200 OK", [("Content-Length", str(len(body)))])
        return [body]


def new_server(app: WSGIApplication, **arguments: Any) -> HttpServer:
    return HttpServer(app, listen("127.0.0.1", 0), lambda: "id-of-the-server", **arguments)


@contextmanager
def running(
    app: WSGIApplication, *, threads: int = 2, limits: ServerLimits | None = None
) -> Generator[Address]:
    server = new_server(app, threads=threads, limits=limits)
    server.start()
    try:
        yield server.address
    finally:
        assert server.stop(PATIENCE)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Recorder, Address]]:
    app = Recorder()
    with running(app) as address:
        yield app, address


@pytest.fixture
def app(shared: tuple[Recorder, Address]) -> Recorder:
    shared[0].seen.clear()
    return shared[0]


@pytest.fixture
def address(shared: tuple[Recorder, Address]) -> Address:
    return shared[1]


def connect(address: Address) -> socket.socket:
    return socket.create_connection(address, timeout=PATIENCE)


def until_eof(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65_536), b""))


def until(sock: socket.socket, mark: bytes) -> bytes:
    got = b""
    while mark not in got:
        data = sock.recv(65_536)
        assert data, f"{got!r} ended before {mark!r}"
        got += data
    return got


def talk(address: Address, sent: bytes) -> bytes:
    """Send, then read until the server closes the connection."""
    with connect(address) as sock:
        sock.sendall(sent)
        return until_eof(sock)


def asked(*lines: str, line: str = "POST /x HTTP/1.1", host: str = "Host: a\r\n") -> bytes:
    head = f"{line}\r\n{host}" + "".join(f"{each}\r\n" for each in lines) + "\r\n"
    return head.encode("latin-1")


def chunked(*body: bytes) -> bytes:
    return asked("Transfer-Encoding: chunked") + b"".join(body)


def closed(request: bytes) -> bytes:
    """Ask for the same, and for the connection to end with it."""
    return request.replace(b"Host: a\r\n", b"Host: a\r\nConnection: close\r\n", 1)


AMBIGUOUS: dict[str, bytes] = {
    # both, or neither, of the two framings
    "length beside chunked": asked("Content-Length: 4", "Transfer-Encoding: chunked")
    + b"0\r\n\r\n",
    "chunked beside length": asked("Transfer-Encoding: chunked", "Content-Length: 4")
    + b"0\r\n\r\n",
    "chunked on 1.0": asked("Transfer-Encoding: chunked", line="POST /x HTTP/1.0") + b"0\r\n\r\n",
    **{
        f"coding {coding!r}": asked(f"Transfer-Encoding: {coding}") + b"0\r\n\r\n"
        for coding in (
            "identity",
            "gzip",
            "gzip, chunked",
            "chunked, chunked",
            "chunked, identity",
            "xchunked",
            "chunked;q=1",
            "Chunked",
            '"chunked"',
            "",
            ",chunked",
            "chunked\x0b",
            "chunked\xa0",
        )
    },
    "coding twice": asked("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")
    + b"0\r\n\r\n",
    "coding twice, one unknown": asked("Transfer-Encoding: x", "Transfer-Encoding: chunked")
    + b"0\r\n\r\n",
    # lengths
    **{
        f"length {length!r}": asked(f"Content-Length: {length}")
        for length in (
            "+5",
            "-1",
            "0x10",
            "5, 5",
            "5,5",
            "",
            "5_0",
            "\xb2",
            "5 5",
            "5.0",
            "1e3",
            "five",
            "5;",
            "0b1",
            "99999999999999999999",
            "\x0c5",
            "5\x00",
            "\xa05",
        )
    },
    "unicode digits": asked("Content-Length: @").replace(
        b"@", "\N{ARABIC-INDIC DIGIT FIVE}".encode()
    ),
    "two lengths": asked("Content-Length: 5", "Content-Length: 6"),
    "one length twice": asked("Content-Length: 5", "Content-Length: 5"),
    # names that would pass for another
    "length, underscored": asked("Content_Length: 5"),
    "length, both ways": asked("Content-Length: 0", "Content_Length: 35"),
    "coding, underscored": asked("Transfer_Encoding: chunked"),
    "coding, both ways": asked("Transfer-Encoding: chunked", "Transfer_Encoding: x") + b"0\r\n\r\n",
    "space before colon": asked("Content-Length : 5"),
    "tab before colon": asked("Transfer-Encoding\t: chunked"),
    "no colon": asked("Content-Length 5"),
    "no name": asked(": 5"),
    "folded": asked("X-A: b", " Content-Length: 5"),
    "folded with a tab": asked("X-A: b", "\tc"),
    "folded at once": asked(" X-A: b"),
    **{
        f"name with {char!r}": asked(f"X{char}A: b")
        for char in (" ", '"', "(", "/", "@", "[", "{", "\x7f", "\xe9", "\x01", "\x00", "\x0b")
    },
    # ends of lines
    "bare LF after the request line": b"GET /x HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF throughout": b"GET /x HTTP/1.1\nHost: a\n\n",
    "bare LF in a header": asked("X-A: b\nContent-Length: 5"),
    "bare LF at the end": b"GET /x HTTP/1.1\r\nHost: a\r\n\n",
    "bare CR in a header": asked("X-A: b\rContent-Length: 5"),
    "bare CR at the end": b"GET /x HTTP/1.1\r\nHost: a\r\r\n",
    "NUL in a value": asked("X-A: b\x00c"),
    "control in a value": asked("X-A: b\x1bc"),
    "two empty lines before": b"\r\n\r\n" + HELLO,
    # the request line
    **{
        f"line {line!r}": asked(line=line)
        for line in (
            "GET",
            "GET /x",
            "GET  /x HTTP/1.1",
            " GET /x HTTP/1.1",
            "GET /x  HTTP/1.1",
            "GET /x HTTP/1.1 ",
            "GET\t/x HTTP/1.1",
            "GET /x HTTP/1.1 extra",
            "get /x HTTP/1.1",
            "G@T /x HTTP/1.1",
            "G(T /x HTTP/1.1",
            "-GET /x HTTP/1.1",
            "G\xc9T /x HTTP/1.1",
            "GET /x HTTP/0.9",
            "GET /x HTTP/1.2",
            "GET /x HTTP/2.0",
            "GET /x HTTP/1",
            "GET /x http/1.1",
            "GET /x HTTP/1.10",
            "GET /x HTTP/11",
            "GET /x HTTP/+1.1",
            "GET /x HTTPS/1.1",
            "GET /x \xb9.1",
            "GET http://u@a/x HTTP/1.1",
            "GET http:///x HTTP/1.1",
            "GET http:/a/x HTTP/1.1",
            "GET http://a:b/x HTTP/1.1",
            "GET http://a//x HTTP/1.1",
            "GET ftp://a/x HTTP/1.1",
            "GET a/x HTTP/1.1",
            "OPTIONS ** HTTP/1.1",
            "OPTIONS *?x HTTP/1.1",
            "GET ?x HTTP/1.1",
            "GET //a/x HTTP/1.1",
            "GET x HTTP/1.1",
            "GET * HTTP/1.1",
            "CONNECT a:443 HTTP/1.1",
            "GET /x#y HTTP/1.1",
            "GET /x y HTTP/1.1",
            "GET /\xe9 HTTP/1.1",
            "GET /% HTTP/1.1",
            "GET /%zz HTTP/1.1",
            "GET /<x> HTTP/1.1",
            'GET /?" HTTP/1.1',
            "GET /\x00 HTTP/1.1",
            "GET /\\x HTTP/1.1",
            "GET  HTTP/1.1",
        )
    },
    # the host
    "no host": asked(host=""),
    "no host beside an absolute target": asked(line="GET http://a/x HTTP/1.1", host=""),
    "two hosts": asked("Host: a"),
    "two different hosts": asked("Host: b"),
    **{
        f"host {host!r}": asked(host=f"Host: {host}\r\n")
        for host in ("", "a b", "a,b", "a/b", "u@a", "a:b", "a:80:80", "http://a", "[", "a?")
    },
    # chunks
    **{
        f"chunk size {size!r}": chunked(size, b"\r\nhello\r\n0\r\n\r\n")
        for size in (
            b"",
            b"g",
            b"+5",
            b"-5",
            b"0x5",
            b"5 ",
            b" 5",
            b"5\t",
            b"5_0",
            b"fffffffff",
            b"f" * 17,
            b"5 ;a",
            b"5;",
            b"5; a",
            b"5;a=",
            b'5;a="',
            b"5;a b",
            b"5;a=\x00",
            b"5;a\n",
            b"5\n",
            b"5\r",
            "\N{ARABIC-INDIC DIGIT FIVE}".encode(),
            b"5;" + b"a" * 300,
            b"5" + b"\x00",
        )
    },
    "chunk longer than it says": chunked(b"4\r\nhello\r\n0\r\n\r\n"),
    "chunk shorter than it says": chunked(b"6\r\nhello\r\n0\r\n\r\n"),
    "chunk without CRLF": chunked(b"5\r\nhello0\r\n\r\n"),
    "chunk with bare LF": chunked(b"5\nhello\n0\n\n"),
    "chunk data with bare LF": chunked(b"5\r\nhello\n0\r\n\r\n"),
    "last chunk without CRLF": chunked(b"0\r\nX"),
    "a length in the trailers": chunked(b"0\r\nContent-Length: 5\r\n\r\n"),
    "a bad trailer": chunked(b"0\r\nX-A : b\r\n\r\n"),
    "a folded trailer": chunked(b"0\r\nX-A: b\r\n c\r\n\r\n"),
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_an_ambiguous_request_is_rejected(app: Recorder, address: Address, sent: bytes) -> None:
    """The client gets one 400 and the connection closes; the application is not called."""
    answer = talk(address, sent + SMUGGLED)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1 ") - body.count(b"HTTP/1.1 ") == 1
    assert b"\r\nHTTP/" not in answer
    assert json.loads(body)["code"] == "bad_request"
    assert app.seen == []


def test_a_refusal_is_a_problem_document(address: Address) -> None:
    """It says what was wrong, forbids sniffing, and names no software."""
    head, _, body = talk(address, asked("Content-Length: +5")).partition(b"\r\n\r\n")

    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "Content-Length must be decimal digits.",
        "code": "bad_request",
        "request_id": "id-of-the-server",
    }
    for line in (
        b"Content-Type: application/problem+json",
        b"Connection: close",
        b"X-Content-Type-Options: nosniff",
        b"X-Request-Id: id-of-the-server",
        f"Content-Length: {len(body)}".encode(),
    ):
        assert line in head.split(b"\r\n")
    assert b"waitress" not in head.lower()


def test_a_refusal_follows_the_answers_before_it(app: Recorder, address: Address) -> None:
    """Earlier requests on the same connection are answered."""
    answer = talk(address, HELLO + asked("Content-Length: 5, 5") + SMUGGLED)

    assert [line[:12] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/")] == [
        b"HTTP/1.1 200",
        b"HTTP/1.1 400",
    ]
    assert [path for _, path, _ in app.seen] == ["/hello"]


TOO_MUCH: dict[str, tuple[int, bytes]] = {
    "a long line": (414, asked(line=f"GET /{'x' * 9_000} HTTP/1.1")),
    "a line without end": (414, b"GET /" + b"x" * 9_000),
    "a long header": (431, asked(f"X-A: {'x' * 40_000}")),
    "a header without end": (431, b"GET / HTTP/1.1\r\nX-A: " + b"x" * 40_000),
    "a long head": (431, asked(*(f"X-{n}: {'x' * 600}" for n in range(90)))),
    "many headers": (431, asked(*(f"X-{n}: x" for n in range(200)))),
    "a long body": (413, asked("Content-Length: 2000000") + b"x" * 100_000),
    "a long body, asked for": (413, asked("Content-Length: 2000000", "Expect: 100-continue")),
    "a huge chunk": (413, chunked(b"ffffffff\r\n")),
    "large chunks": (413, chunked(*[b"40000\r\n" + b"x" * 0x40000 + b"\r\n"] * 5)),
    "many chunks": (413, chunked(b"1\r\nx\r\n" * 300_000)),
}


@pytest.mark.parametrize(("status", "sent"), TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_too_much_is_refused_before_it_has_come(
    app: Recorder, address: Address, status: int, sent: bytes
) -> None:
    """The server reads on only until the client notices."""
    with connect(address) as sock:
        sender = Thread(target=_send_what_is_taken, args=(sock, sent))
        sender.start()
        answer = until_eof(sock)
        sender.join(PATIENCE)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in answer
    assert app.seen == []


def _send_what_is_taken(sock: socket.socket, sent: bytes) -> None:
    with suppress(OSError):
        sock.sendall(sent)


SOUND: dict[str, tuple[bytes, bytes]] = {
    "a length": (asked("Content-Length: 5") + b"hello", b"hello"),
    "a padded length": (asked("Content-Length: \t 005 ") + b"hello", b"hello"),
    "no body": (asked("Content-Length: 0"), b""),
    "a chunk": (chunked(b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
    "extensions and trailers": (
        chunked(b'2\r\nhe\r\n03;a;b=c;d="e f"\r\nllo\r\n000\r\nX-Sum: 1\r\n\r\n'),
        b"hello",
    ),
    "a hexadecimal size": (chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), b"0123456789"),
    "no chunks": (chunked(b"0\r\n\r\n"), b""),
    "an empty line before": (b"\r\n" + asked("Content-Length: 2") + b"ok", b"ok"),
    "a large body": (asked("Content-Length: 1000000") + b"x" * 1_000_000, b"x" * 1_000_000),
}


@pytest.mark.parametrize(("sent", "body"), SOUND.values(), ids=SOUND.keys())
@pytest.mark.parametrize("bytewise", [False, True], ids=["at once", "in pieces"])
def test_sound_requests_pass(
    app: Recorder, address: Address, sent: bytes, body: bytes, bytewise: bool
) -> None:
    """However they are cut up on the way."""
    step = max(1, len(sent) // 100) if bytewise else len(sent)
    with connect(address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(sent), step):
            sock.sendall(sent[start : start + step])
        sock.sendall(closed(HELLO))
        answer = until_eof(sock)

    assert app.seen == [("POST", "/x", body), ("GET", "/hello", b"")]
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert body in answer


def test_pipelined_requests_are_answered_in_order(app: Recorder, address: Address) -> None:
    """Even if the client has closed its side already."""
    bodies = [f"body {n}".encode() for n in range(20)]
    row = [asked(f"Content-Length: {len(each)}") + each for each in bodies]
    with connect(address) as sock:
        sock.sendall(b"".join(row))
        sock.shutdown(socket.SHUT_WR)
        answer = until_eof(sock)

    assert [body for _, _, body in app.seen] == bodies
    assert [part.rpartition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")][
        1:
    ] == bodies


def test_a_connection_persists_as_the_client_asks(app: Recorder, address: Address) -> None:
    """HTTP/1.1 connections persist by default; HTTP/1.0 connections on request."""
    old = b"GET /old HTTP/1.0\r\n"
    with connect(address) as sock:
        for _ in range(3):
            sock.sendall(HELLO)
            assert b"Connection" not in until(sock, b"\r\n\r\n")
        sock.sendall(old + b"Connection: Keep-Alive\r\n\r\n")
        assert b"Connection: Keep-Alive" in until(sock, b"\r\n\r\n")
        sock.sendall(old + b"\r\n")
        until_eof(sock)

    assert b"Connection: close" in talk(address, closed(HELLO))
    assert len(app.seen) == 6


def test_the_wsgi_environment_describes_the_request(app: Recorder, address: Address) -> None:
    """Chunks are undone, names with underscores dropped, repeated headers joined."""
    talk(
        address,
        closed(
            asked(
                "Transfer-Encoding: chunked",
                "X_Forwarded_For: evil",
                "X-Forwarded-For: 192.0.2.1",
                "X-Forwarded-Proto: https",
                "X-Twice: 1",
                "X-Twice: 2",
                "Cookie: a=1",
                "Cookie: b=2",
                "Content-Type: text/plain",
                line="PUT /caf%C3%A9/x?q=[1]&r=%20 HTTP/1.1",
            )
        )
        + b"5\r\nhello\r\n0\r\n\r\n",
    )

    expected = {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": "/caf\xc3\xa9/x",
        "QUERY_STRING": "q=[1]&r=%20",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": "5",
        "CONTENT_TYPE": "text/plain",
        "HTTP_X_TWICE": "1, 2",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_HOST": "a",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_X_FORWARDED_PROTO": "https",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_PORT": str(address[1]),
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
    }
    assert {key: app.environ.get(key) for key in expected} == expected
    assert "HTTP_TRANSFER_ENCODING" not in app.environ


@pytest.mark.parametrize(
    ("target", "host", "path", "query"),
    [
        ("http://b:80/x?y=1", "b:80", "/x", "y=1"),
        ("HTTPS://b/caf%C3%A9", "b", "/caf\xc3\xa9", ""),
        ("http://[::1]:8000", "[::1]:8000", "/", ""),
        ("http://b?y", "b", "/", "y"),
        ("/%2Fx//y", "a", "//x//y", ""),
    ],
)
def test_the_target_names_host_and_path(
    app: Recorder, address: Address, target: str, host: str, path: str, query: str
) -> None:
    """The host of an absolute target replaces that of the header (RFC 9112, 3.2.2)."""
    talk(address, closed(asked(line=f"GET {target} HTTP/1.1")))

    found = [app.environ[key] for key in ("HTTP_HOST", "PATH_INFO", "QUERY_STRING")]
    assert found == [host, path, query]
    assert app.environ["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("target", ["*", "http://a"])
def test_options_may_ask_for_the_whole_server(app: Recorder, address: Address, target: str) -> None:
    talk(address, closed(asked(line=f"OPTIONS {target} HTTP/1.1")))

    assert app.seen == [("OPTIONS", "*", b"")]


def test_a_client_that_expects_100_gets_it(app: Recorder, address: Address) -> None:
    """Before the body has come, and once only."""
    with connect(address) as sock:
        sock.sendall(closed(asked("Content-Length: 5", "Expect: 100-continue")))
        assert until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"he")
        sock.sendall(b"llo")
        assert until_eof(sock).startswith(b"HTTP/1.1 200 OK\r\n")

    assert app.seen == [("POST", "/x", b"hello")]


def test_100_is_not_sent_where_no_body_follows(app: Recorder, address: Address) -> None:
    answer = talk(address, closed(asked("Content-Length: 0", "Expect: 100-continue")))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert app.seen == [("POST", "/x", b"")]


def test_falcon_reads_a_chunked_document() -> None:
    """It trusts Content-Length alone."""

    class Echo:
        def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
            resp.media = req.get_media()

    app = falcon.App()
    app.add_route("/x", Echo())
    sent = asked("Transfer-Encoding: chunked", "Connection: close")
    with running(app) as address:
        answer = talk(address, sent + b'7\r\n{"a":1}\r\n0\r\n\r\n')

    assert answer.endswith(b'{"a": 1}')


# ------------------------------------------------------------------------------ slow clients


def test_slow_senders_hold_no_worker() -> None:
    """Sixty-four of them, against eight threads."""
    app = Recorder()
    with running(app, threads=8) as address, ExitStack() as slow:
        for n in range(64):
            sock = slow.enter_context(connect(address))
            sock.sendall(
                (HELLO[:-3], asked("Content-Length: 9") + b"x", HELLO, chunked(b"5\r\nh"))[n % 4]
            )
            if n % 4 == 2:
                until(sock, b"\r\n\r\n")
        began = time.monotonic()
        answer = talk(address, closed(HELLO))
        took = time.monotonic() - began

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert took < 1
    assert len(app.seen) == 16 + 1


@pytest.mark.parametrize("sent", [b"", HELLO, HELLO[:9]], ids=["new", "kept alive", "unfinished"])
def test_idle_connections_end_without_an_answer(sent: bytes) -> None:
    with running(Recorder(), limits=ServerLimits(idle_seconds=1)) as address:
        assert talk(address, sent).count(b"HTTP/1.1") == (sent == HELLO)


def _large(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    start("200 OK", [])
    return [b"x" * 1_000_000] * 32 if environ["PATH_INFO"] == "/x" else [b"hello"]


def test_a_slow_reader_holds_no_worker() -> None:
    """What it does not read is stored until it does."""
    with running(_large, threads=1) as address, connect(address) as reader:
        reader.sendall(closed(asked()))
        assert talk(address, closed(HELLO)).endswith(b"hello")
        assert until_eof(reader).count(b"x" * 1_000_000) == 32


def test_a_reader_that_stops_is_left() -> None:
    """More than the server stores waits for it, and a worker with it."""
    limits = ServerLimits(idle_seconds=1, unsent=1_000_000)
    with running(_large, threads=1, limits=limits) as address, connect(address) as reader:
        reader.sendall(asked())
        assert talk(address, closed(HELLO)).endswith(b"hello")


def test_further_connections_wait_while_too_many_are_open() -> None:
    """The listening socket and the trigger count, too."""
    limits = ServerLimits(connections=4)
    with running(Recorder(), limits=limits) as address, ExitStack() as crowd:
        one, two, waiting = (crowd.enter_context(connect(address)) for _ in range(3))
        for sock in (one, two):
            sock.sendall(HELLO)
            until(sock, b"\r\n\r\n")
        waiting.sendall(HELLO)
        assert select.select([waiting], [], [], 0.2) == ([], [], [])
        one.close()
        until(waiting, b"\r\n\r\n")


# ------------------------------------------------------------------------------- applications


def answering(status: str, headers: list[tuple[str, str]], *chunks: bytes) -> WSGIApplication:
    def app(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start(status, headers)
        return chunks

    return app


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "304 Not Modified"])
def test_some_answers_have_no_body(status: str) -> None:
    """Even if the application yields one."""
    method = b"HEAD" if status == "200 OK" else b"GET"
    app = answering(status, [("Content-Length", "5"), ("Server", "mine")], b"hello")
    with running(app) as address:
        answer = talk(address, closed(HELLO.replace(b"GET", method)))

    assert answer.startswith(f"HTTP/1.1 {status}\r\n".encode())
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_leaves_the_connection_open(status: str) -> None:
    with running(answering(status, [("ETag", '"1"')])) as address:
        assert talk(address, HELLO + closed(HELLO)).count(b"HTTP/1.1 ") == 2


def test_an_answer_of_unknown_length_is_chunked() -> None:
    """Or ended by the connection's end, on HTTP/1.0."""
    with running(answering("200 OK", [], b"a", b"", b"bc")) as address:
        assert talk(address, closed(HELLO)).endswith(b"\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
        assert talk(address, b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nabc")


def test_a_small_response_leaves_in_one_send(monkeypatch: pytest.MonkeyPatch) -> None:
    sends = list[bytes]()
    send = Channel.send

    def recorded(channel: Channel, data: bytes, do_close: bool = True) -> int:
        sends.append(data)
        return send(channel, data, do_close=do_close)

    monkeypatch.setattr(Channel, "send", recorded)
    with running(Recorder()) as address, connect(address) as sock:
        sock.sendall(asked("Content-Length: 5") + b"hello")
        assert until(sock, b"hello").endswith(b"\r\n\r\nhello")
    assert len(sends) == 1


def test_a_large_response_is_sent_while_the_application_runs() -> None:
    proceed = Event()

    def app(_: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", str(SEND_BYTES + 3))])
        yield b"x" * SEND_BYTES
        assert proceed.wait(PATIENCE)
        yield b"end"

    with running(app) as address, connect(address) as sock:
        sock.sendall(HELLO)
        assert until(sock, b"x" * 1_000)
        proceed.set()
        assert until(sock, b"xend").endswith(b"xend")


def test_a_file_follows_the_parts_before_it() -> None:
    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", "19")])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"content of the file"))
        return wrapped

    with running(app) as address, connect(address) as sock:
        sock.sendall(HELLO)
        assert until(sock, b"of the file").startswith(b"HTTP/1.1 200 OK")


def test_an_answer_shorter_than_promised_ends_the_connection() -> None:
    """The next answer would be taken for its rest."""
    with running(answering("200 OK", [("Content-Length", "9")], b"hello")) as address:
        assert talk(address, HELLO + SMUGGLED).endswith(b"\r\n\r\nhello")


def test_an_answer_longer_than_promised_is_cut() -> None:
    with running(answering("200 OK", [("Content-Length", "2")], b"hello")) as address:
        assert talk(address, closed(HELLO)).endswith(b"\r\n\r\nhe")


def _raising(error: BaseException) -> WSGIApplication:
    def app(_: WSGIEnvironment, __: StartResponse) -> Iterable[bytes]:
        raise error

    return app


def _raising_late(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    start("200 OK", [])
    yield b""
    raise ZeroDivisionError


def _silent(_: WSGIEnvironment, __: StartResponse) -> Iterable[bytes]:
    return []


@pytest.mark.parametrize(
    "app",
    [
        _raising(ZeroDivisionError()),
        _raising(OSError(104, "not the client's")),
        _raising(SystemExit()),
        _raising_late,
        _silent,
        answering("200 OK", [("X-A", "b\r\nSet-Cookie: c")], b"hello"),
    ],
    ids=[
        "raises",
        "raises OSError",
        "exits",
        "raises late",
        "is silent",
        "splits",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_failing_application_is_a_500(app: WSGIApplication, method: str) -> None:
    """The error is logged, not shown to the client, and no worker thread ends."""
    sent = HELLO.replace(b"GET", method.encode())
    with capture_logs() as logs, running(app, threads=1) as address:
        answers = [talk(address, sent + SMUGGLED) for _ in range(2)]

    for answer in answers:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"\r\nHTTP/" not in answer
        assert (json.loads(body)["code"] if method == "GET" else body) in {"internal_error", b""}
    assert [entry["event"] for entry in logs] == ["request_failed"] * 2


def test_what_fails_half_way_is_cut_off() -> None:
    """Its body is closed, and its client sees that the end is missing."""

    class Half:
        closed = Event()

        def __iter__(self) -> Iterator[bytes]:
            yield b"half"
            raise ZeroDivisionError

        def close(self) -> None:
            self.closed.set()

    def app(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [])
        return Half()

    with capture_logs() as logs, running(app) as address:
        assert talk(address, HELLO).endswith(b"\r\n\r\n4\r\nhalf\r\n")

    assert Half.closed.is_set()
    assert len(logs) == 1


# --------------------------------------------------------------------------- ends, good and bad


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_a_client_that_goes_leaves_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    """Half-way through its request, its body, its answer, or a refusal."""
    entered, gone = Event(), Event()

    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [])
        if environ["PATH_INFO"] == "/x":
            entered.set()
            assert gone.wait(PATIENCE)
            return [b"x" * 100_000] * 50
        return [b"hello"]

    with capture_logs() as logs, running(app) as address:
        for sent in (b"", HELLO[:9], asked("Content-Length: 9") + b"x", b"bad\r\n" * 99):
            sock = connect(address)
            sock.sendall(sent)
            _reset(sock)
        sock = connect(address)
        sock.sendall(asked())
        assert entered.wait(PATIENCE)
        _reset(sock)
        gone.set()
        assert b"hello" in talk(address, closed(HELLO))

    assert {entry["event"] for entry in logs} <= {"request_refused"}
    assert capfd.readouterr() == ("", "")


class Held:
    """An application that answers /x when it is let, and all else at once."""

    def __init__(self) -> None:
        self.entered, self.released = Event(), Event()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/x":
            self.entered.set()
            assert self.released.wait(PATIENCE)
        start("200 OK", [("Content-Length", "4")])
        return [b"done"]


def _is_open(address: Address) -> bool:
    try:
        with connect(address) as sock:
            until_eof(sock)
            return True
    except OSError:
        return False


def test_stopping_finishes_what_is_in_flight() -> None:
    """No further connection is accepted, and the requests that run are answered."""
    app = Held()
    server = new_server(app, threads=1)
    server.start()
    finished: list[bool] = []
    stopping = Thread(target=lambda: finished.append(server.stop(PATIENCE)))
    with connect(server.address) as sock, connect(server.address) as idle:
        idle.sendall(HELLO)
        until(idle, b"done")
        sock.sendall(asked() + SMUGGLED)
        assert app.entered.wait(PATIENCE)
        address = server.address
        stopping.start()
        assert until_eof(idle) == b""
        while _is_open(address):
            pass
        app.released.set()
        answer = until_eof(sock)
    stopping.join(PATIENCE)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in answer
    assert answer.endswith(b"\r\n\r\ndone")
    assert answer.count(b"HTTP/1.1") == 1
    assert finished == [True]
    assert server.stop() is True


def test_stopping_waits_no_longer_than_asked() -> None:
    """The connection of a request that still runs is closed."""
    app = Held()
    server = new_server(app, threads=1)
    server.start()
    with connect(server.address) as sock:
        sock.sendall(asked())
        assert app.entered.wait(PATIENCE)
        assert server.stop(0.05) is False
        assert until_eof(sock) == b""
        app.released.set()


def test_a_server_that_never_served_can_be_stopped() -> None:
    server = new_server(Recorder())
    assert server.address[1] > 0
    assert server.stop() is True


def test_a_taken_port_is_said_to_be_taken() -> None:
    """In words that name it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        port: Any = holder.getsockname()[1]
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port}: the port is in use"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_cannot_be_taken() -> None:
    """And the reason is not that it is taken."""
    with pytest.raises(Unavailable, match=r"192\.0\.2\.1:0: [\w ']*[Aa]ssign[\w ]*\.$"):
        listen("192.0.2.1", 0)


def test_a_server_can_end_before_the_call_to_stop_returns(
    app: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loop may see the stop request before the trigger has been pulled."""
    server = HttpServer(app, listen("127.0.0.1", 0), lambda: "id")
    server.start()
    assert server._server is not None
    pull, ended = server._server.trigger._physical_pull, server._ended

    def pull_before_and_after_the_end() -> None:
        pull()
        assert ended.wait(5.0)
        pull()

    monkeypatch.setattr(server._server.trigger, "_physical_pull", pull_before_and_after_the_end)
    assert server.stop(5.0)
