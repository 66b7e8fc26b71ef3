"""A local receiver of webhooks in another process, for benchmarks."""

import asyncio
import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any
from urllib.request import urlopen

from attrs import frozen

HANG_PATH = "/hang"
"""Requests to this path get no response."""
SLOW_PATH = "/slow"
SLOW_SECONDS = 0.005
"""When requests to paths below `SLOW_PATH` get their response."""
REPORT_PATH = "/report"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@frozen
class SinkClient:
    """The address of a sink."""

    port: int

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def arrivals(self) -> list[tuple[str, float]]:
        """Return id and monotonic time of the requests since the last call."""
        with urlopen(self.url(REPORT_PATH)) as response:  # noqa: S310 - a local address
            return [(key, at) for key, at in json.load(response)]


@contextmanager
def sink_process() -> Generator[SinkClient]:
    """Run a sink, which accepts everything at once."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield SinkClient(ours.recv())
    finally:
        process.kill()
        process.join()


def _serve(pipe: Any) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        arrivals: list[tuple[str, float]] = []
        server = await loop.create_server(lambda: _Connection(arrivals), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


class _Connection(asyncio.Protocol):
    """Reads requests with Content-Length, and records their webhook ids."""

    def __init__(self, arrivals: list[tuple[str, float]]) -> None:
        self.arrivals, self.received = arrivals, b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, rest = self.received.partition(b"\r\n\r\n")
            line, *lines = head.split(b"\r\n")
            headers = dict(each.lower().split(b": ", 1) for each in lines)
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self.received = rest[length:]
            self.respond(line.split(b" ")[1].decode(), headers)

    def respond(self, path: str, headers: dict[bytes, bytes]) -> None:
        """Send the response to one request."""
        if path == REPORT_PATH:
            body = json.dumps(self.arrivals).encode()
            self.arrivals.clear()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.transport.write(head + body)
        elif path != HANG_PATH:
            key = headers.get(b"webhook-id", b"").decode()
            self.arrivals.append((key, time.monotonic()))
            if path.startswith(SLOW_PATH):
                asyncio.get_running_loop().call_later(SLOW_SECONDS, self.transport.write, _OK)
            else:
                self.transport.write(_OK)
