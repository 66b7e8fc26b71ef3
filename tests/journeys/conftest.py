"""A complete service in the test process, and an HTTP client."""

import email
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from tests.response_validation import JSON_TYPES, ResponseValidator, response_validator
from workbell.adapters.http.app import build_app
from workbell.adapters.http.server.server import HttpServer, listen
from workbell.entrypoints.bootstrap.build import build
from workbell.entrypoints.config.settings import Settings

PATIENCE = 20.0


@define
class Client:
    """An HTTP client, with an optional access token; responses are validated."""

    port: int
    mail: Path
    validator: ResponseValidator
    token: str | None = None
    scheme: str = "Bearer"

    def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """
        Send a request; return status, decoded body and headers.

        A body of bytes is sent unchanged.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = "application/json"
        if self.token is not None:
            sent["Authorization"] = f"{self.scheme} {self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            content = body if body is None or isinstance(body, bytes) else json.dumps(body)
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        response_headers = {name.lower(): value for name, value in response.getheaders()}
        decoded = (
            json.loads(content)
            if content and "json" in response_headers["content-type"]
            else content
        )
        if method != "HEAD" and response_headers.get("content-type", "").startswith(JSON_TYPES):
            self.validator.check(
                method, path, response.status, response_headers["content-type"], decoded
            )
        return response.status, decoded, response_headers

    def get(self, path: str, status: int = 200) -> Any:
        """Send a GET, check its status, return the body."""
        found, body, _ = self.call("GET", path)
        assert found == status, body
        return body

    def post(self, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """Send a POST, check its status, return the body."""
        found, response, _ = self.call("POST", path, body, **headers)
        assert found == status, response
        return response

    def code_for(self, address: str) -> str:
        """Return the newest six-digit code that was emailed to an address."""
        found = []
        for path in sorted(self.mail.glob("*.eml"), key=lambda p: p.stat().st_mtime_ns):
            message = email.message_from_bytes(path.read_bytes(), policy=default)
            if address in str(message["To"]):
                text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
                found += re.findall(r"\b\d{6}\b", text)
        return str(found[-1])


def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until `condition()` is true; return its value."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not true within {PATIENCE} s")


@contextmanager
def open_service(folder: Path, **settings: Any) -> Iterator[Client]:
    """Run a new service on SQLite with workers; return a client of it."""
    application = build(
        Settings(
            data_dir=folder / "data",
            port=0,
            admin_password="correct-horse-battery",
            worker_threads=2,
            **{"rate_limit_anon": None, "rate_limit_login": None, **settings},
        )
    )
    application.migrate_and_register()
    application.ensure_administrator()
    dependencies = application.app_dependencies()
    listener = listen("127.0.0.1", 0)
    server = HttpServer(build_app(dependencies), listener, application.ids.new, threads=4)
    server.start()
    runtime = application.runtime(threads=2)
    runtime.start()
    yield Client(server.address[1], folder / "data" / "mail", response_validator(dependencies))
    server.stop(2.0)
    runtime.stop(5.0)
    application.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Return a client of a new service on SQLite with running workers."""
    folders = {"input_dirs": (tmp_path / "input",), "backup_dirs": (tmp_path / "backups",)}
    for (folder,) in folders.values():
        folder.mkdir()
    with open_service(tmp_path, **folders) as opened:
        yield opened
