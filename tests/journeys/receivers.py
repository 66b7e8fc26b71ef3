"""Receivers of webhooks: real HTTP servers that record every request."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field, frozen
from standardwebhooks.webhooks import Webhook


@frozen
class ReceivedRequest:
    """A request; `payload` is the signed part: the body, or the query of a GET."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def payload(self) -> bytes:
        return urlsplit(self.path).query.encode() if self.method == "GET" else self.body

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    def verify(self, secret: str) -> None:
        """Verify the signature as a receiver with this secret does."""
        Webhook(secret).verify(self.payload, self.headers, json_parse=False)


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def respond(self) -> None:
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver.requests.append(ReceivedRequest(self.command, self.path, headers, body))
        self.send_response(receiver.status)
        self.send_header("Content-Length", "0")
        self.end_headers()


for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{method}", _Handler.respond)


@define
class Receiver:
    """An HTTP server that answers every request with `status`."""

    url: str = ""
    status: int = 200
    requests: list[ReceivedRequest] = field(factory=list[ReceivedRequest])

    def received(self, event_id: str) -> list[ReceivedRequest]:
        """Return the requests for an event."""
        return [each for each in self.requests if each.event_id == event_id]


@contextmanager
def open_receivers(count: int) -> Iterator[list[Receiver]]:
    """Run several receivers."""
    with ExitStack() as stack:
        receivers = []
        for _ in range(count):
            receiver = Receiver()
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _Handler))
            server.receiver = receiver  # type: ignore[attr-defined]
            receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
            Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.shutdown)
            receivers.append(receiver)
        yield receivers
