"""Receivers on real sockets, whose behaviour is a function."""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread

from attrs import Factory, define

from workbell.adapters.webhook_client.addresses import IpAddress, parse_address
from workbell.ports.webhook_client import OutgoingRequest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Script = Callable[["Connection"], None]


@define(eq=False)
class Connection:
    """One accepted connection; `number` counts from 1."""

    stream: socket.socket
    receiver: "Receiver"
    number: int

    def read_request(self) -> bytes:
        """Return the next request, or nothing at the end of the stream."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (part := self.stream.recv(65_536)):
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(body) < length:
            body += self.stream.recv(65_536)
        request = head + b"\r\n\r\n" + body
        self.receiver.note(request)
        return request

    def send(self, data: bytes) -> None:
        self.stream.sendall(data)

    def drip(self, data: bytes, seconds: float = 0.02) -> None:
        """Send one byte at a time."""
        for n in range(len(data)):
            if self.receiver.closing.wait(seconds):
                return
            self.stream.sendall(data[n : n + 1])

    def wait(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(OSError):
            while self.stream.recv(65_536):
                pass

    def reset(self) -> None:
        """Abort the connection with RST."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()


@define(eq=False)
class Receiver:
    """A listener that runs a script for each connection."""

    listener: socket.socket
    port: int
    script: Script
    tls: ssl.SSLContext | None = None
    requests: list[bytes] = Factory(list)
    connections: int = 0
    closing: Event = Factory(Event)
    _streams: list[socket.socket] = Factory(list)
    _lock: Lock = Factory(Lock)

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{host}:{self.port}{path}"

    def note(self, request: bytes) -> None:
        with self._lock:
            self.requests.append(request)

    def serve(self) -> None:
        threads: list[Thread] = []
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                break
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            threads.append(Thread(target=self._run, args=(stream, self.connections)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _run(self, stream: socket.socket, number: int) -> None:
        with suppress(OSError):
            if self.tls is not None:
                stream = self.tls.wrap_socket(stream, server_side=True)
            with self._lock:
                self._streams.append(stream)
            self.script(Connection(stream, self, number))
        stream.close()

    def stop(self) -> None:
        self.closing.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self._lock:
            for stream in self._streams:
                with suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)


@contextmanager
def receiving(
    script: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Receiver]:
    """Run a receiver."""
    listener = socket.create_server((host, 0))
    receiver = Receiver(listener, listener.getsockname()[1], script, tls)
    thread = Thread(target=receiver.serve)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stop()
        thread.join()


def answering(response: bytes = OK) -> Script:
    """Return a script that answers every request on a connection."""

    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.send(response)

    return script


@define
class ScriptedResolver:
    """Returns the given answers in turn, the last one for ever; errors are raised."""

    answers: list[list[str] | Exception]
    calls: int = 0

    def resolve(self, host: str, timeout: float) -> list[IpAddress]:
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, Exception):
            raise answer
        return [parse_address(text) for text in answer]


def post(url: str, body: bytes = b"{}", seconds: float = 5.0, **headers: str) -> OutgoingRequest:
    return OutgoingRequest(
        method="POST",
        url=url,
        body=body,
        timeout_seconds=seconds,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
